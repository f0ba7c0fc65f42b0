// The comment that every printed configuration opens with: what it was made from, and what it cannot do. A sentence that is
// a warning is also handed back, for whoever prints it.

import { formatDuration } from '../duration.ts'
import type { SnippetInput } from './snippet-input.ts'

export type Snippet = { readonly text: string; readonly warnings: readonly string[] }

export type How = {
  /** `nginx`, as people call it. */
  readonly name: string
  /** Asked at each call, or verified without asking (S15). */
  readonly verifies: 'asks' | 'alone'
  /** A credential limited by details is refused, or passes as if it were not limited. */
  readonly limitedIs: 'refused' | 'unseen'
  /** It does not start, or does not fetch keys, from an issuer without TLS. */
  readonly needsTls?: true
  /** Sentences of its own. */
  readonly notes: readonly string[]
}

/** The text, its comment first; lines start with `#`. */
export function withHead(input: SnippetInput, how: How, body: string): Snippet {
  const { tool, resource, issuer, alg, maxTtlSeconds, leewaySeconds, verifiedBy, scopes, details } = input
  const warnings = warningsOf(input, how)
  const facts = [
    ['resource', `${resource.url} (the audience of its tokens)`],
    ['issuer', `${issuer.url}, keys at ${issuer.url}/.well-known/jwks.json`],
    ['scopes', scopes.join(', ')],
    ['details', details.map(({ key, enforcedBy }) => `${key} (enforced by ${enforcedBy})`).join(', ') || 'none'],
    [
      'tokens',
      `${alg}, at most ${formatDuration(maxTtlSeconds)}; verifiedBy ${verifiedBy}, leeway ${formatDuration(leewaySeconds)}`,
    ],
  ] as const
  const head = [
    `${tool} and ${how.name}, from its manifest: hallpass tool snippet ${tool} --for ${how.name.toLowerCase()}`,
    ...facts.map(([name, value]) => `  ${name.padEnd(9)} ${value}`),
    '',
    ...warnings.map((warning) => `WARNING: ${warning}`),
    how.verifies === 'asks'
      ? 'Hallpass is asked at each call: what is taken away is refused at the next. When it cannot be asked, nothing passes.'
      : `It verifies alone and asks nobody: a credential that was revoked passes until its exp, ${formatDuration(maxTtlSeconds)} at the longest. Hallpass says "revoked" only then.`,
    ...how.notes,
    'Try it: hallpass tool check --help',
  ]
  return { text: `${comment(head)}\n${body.trim()}\n`, warnings }
}

export const comment = (lines: readonly string[], indent = ''): string =>
  lines
    .flatMap((line) => wrapped(line))
    .map((line) => `${indent}${line === '' ? '#' : `# ${line}`}\n`)
    .join('')

const WIDTH = 112

function wrapped(line: string): string[] {
  if (line.startsWith('  ') || line.length <= WIDTH) return [line]
  const cut = line.lastIndexOf(' ', WIDTH)
  return cut < 1 ? [line] : [line.slice(0, cut), ...wrapped(line.slice(cut + 1))]
}

function warningsOf(input: SnippetInput, how: How): readonly string[] {
  const { verifiedBy, details, issuer, tool } = input
  const keys = details.map(({ key }) => key).join(', ')
  return [
    ...(how.verifies === 'alone' && verifiedBy !== 'alone'
      ? [
          `the manifest says verifiedBy: ${verifiedBy}, and this verifies alone: Hallpass would say "revoked" while ${how.name} still accepts. Write verifiedBy: alone.`,
        ]
      : []),
    ...(how.verifies === 'asks' && verifiedBy !== 'asks'
      ? [
          verifiedBy === 'alone'
            ? 'the manifest says verifiedBy: alone, so "revoked" is said only at exp + leeway; with verifiedBy: asks it is said at once.'
            : 'the manifest says verifiedBy: guard, and no guard is here: no revocation would be confirmed in time. Write verifiedBy: asks.',
        ]
      : []),
    ...(how.limitedIs === 'unseen' && details.length > 0
      ? [
          `${how.name} does not see details (${keys}): a credential limited by them passes as if it were not. Give no agent of ${tool} any, or use what asks /forward-auth.`,
        ]
      : []),
    ...(how.needsTls === true && !issuer.secure
      ? [`the issuer is ${issuer.url}: ${how.name} fetches keys over https only.`]
      : []),
    ...(input.routesAreExamples && (how.verifies === 'asks' || how.name === 'HAProxy')
      ? ['the paths below are examples, one a scope: write your own, or give them with --route.']
      : []),
  ]
}

/** For what asks /forward-auth: why a limited credential is refused, and when it need not be. */
export const detailsNote = ({ details }: SnippetInput): readonly string[] =>
  details.length === 0
    ? []
    : [
        `Details (${details.map(({ key }) => key).join(', ')}): a credential limited by them is refused here (403), because this looks into no request. Only where a route holds requests to X-Hallpass-Details, or the tool behind does, add &enforces=KEY to that route's question.`,
      ]
