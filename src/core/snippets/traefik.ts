// Traefik (2.11.24, 3.3.6 and later): a forwardAuth middleware a scope, with resource and scope from this text alone (S14).

import { comment, detailsNote, type Snippet, withHead } from './snippet-head.ts'
import { isEverythingBelow, questionPath, type Route, type SnippetInput, scopesOf } from './snippet-input.ts'

const NOTES = [
  'A dynamic configuration for the file provider. Traefik before 2.11.24 and 3.3.6 matched paths before it cleaned them (CVE-2025-32431): do not use those.',
  'The tool gets no Authorization, and X-Hallpass-Agent, -Session, -Grant, -Scope and -Details from here alone, never from the caller. It must be reachable through this proxy alone.',
  'What no router matches is 404. trustForwardHeader stays false: no X-Forwarded-* of a caller has a say.',
]

const SAID = ['X-Hallpass-Agent', 'X-Hallpass-Session', 'X-Hallpass-Grant', 'X-Hallpass-Scope', 'X-Hallpass-Details']

export function traefikSnippet(input: SnippetInput): Snippet {
  const { tool, routes, upstream } = input
  const scopes = scopesOf(input)
  const asks = (scope: string) => `${tool}-asks-${scopes.indexOf(scope) + 1}`
  const body = `
${comment([
  `The verifier token is a middleware in a file of its own beside this one (0600), ${tool}-verifier.yml:`,
  '  http:',
  '    middlewares:',
  `      ${tool}-verifier:`,
  '        headers:',
  '          customRequestHeaders:',
  `            X-Hallpass-Verifier: "…"       # what \`hallpass verifier token ${tool}\` prints`,
])}
http:
  routers:
${routes
  .map(
    (route, index) => `    ${tool}-${index + 1}:
      rule: ${quoted(rule(input, route))}
      priority: ${routes.length - index}
      entryPoints: [${input.resource.secure ? 'websecure' : 'web'}]${input.resource.secure ? '\n      tls: {}' : ''}
      # In this order: what the caller said of itself goes, Hallpass is asked, our token goes.
      middlewares: [${tool}-incoming, ${tool}-verifier, ${asks(route.scope)}, ${tool}-outgoing]
      service: ${tool}
`,
  )
  .join('')}
  middlewares:
    ${tool}-incoming:
      headers:
        customRequestHeaders:            # an empty value removes the header
${SAID.map((name) => `          ${name}: ""\n`).join('')}
${scopes
  .map(
    (scope) => `    ${asks(scope)}:
      forwardAuth:
        address: ${quoted(`${input.issuer.url}${questionPath(input, scope)}`)}
        trustForwardHeader: false
        authRequestHeaders: [Authorization, X-Hallpass-Verifier]
        authResponseHeaders: [${SAID.join(', ')}]
`,
  )
  .join('')}
    ${tool}-outgoing:
      headers:
        customRequestHeaders:
          Authorization: ""
          X-Hallpass-Verifier: ""

  services:
    ${tool}:
      loadBalancer:
        servers:
          - url: ${quoted(upstream.url)}
`
  return withHead(
    input,
    { name: 'Traefik', verifies: 'asks', limitedIs: 'refused', notes: [...NOTES, ...detailsNote(input)] },
    body,
  )
}

/** A double-quoted YAML scalar: JSON is one. */
const quoted = (text: string): string => JSON.stringify(text)

function rule({ resource }: SnippetInput, route: Route): string {
  const path = `${isEverythingBelow(route) ? 'PathPrefix' : 'Path'}(\`${route.path}\`)`
  const methods = route.methods.map((method) => `Method(\`${method}\`)`).join(' || ')
  return [
    `Host(\`${resource.host.replace(/^\[(.*)\]$/, '$1')}\`)`,
    ...(methods === '' ? [] : [`(${methods})`]),
    path,
  ].join(' && ')
}
