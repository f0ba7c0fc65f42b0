// What each row of the check sends, and how an answer is judged. What is genuine comes in; nothing here mints or revokes
// but through what it is handed, and no row is called good that was not tried.

import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { type Answered, ask, type Target } from './tool-check-ask.ts'
import { FORGED_ROWS, type Forgeries } from './tool-check-forgeries.ts'

export type Verdict = 'ok' | 'WRONG' | 'unclear' | 'not tried'

export type Row = {
  readonly row: string
  /** Of the variant that decided; null where there was no answer. */
  readonly status: number | null
  readonly verdict: Verdict
  readonly says: string
}

/** How long a revoked credential is tried again, in steps of this (milliseconds). */
const REVOKED_STEP_MS = 50

const REFUSED: ReadonlySet<number> = new Set([400, 401, 403])
const REFUSED_FOR_SCOPE: ReadonlySet<number> = new Set([401, 403])

export type Judged = { readonly verdict: Verdict; readonly says: string }

const told = (answered: Answered): string => (answered.status === null ? answered.failure : String(answered.status))

/** Of what must pass. Beyond who is calling, what the tool says of the request is its own affair. */
export function judgePassing(answered: Answered): Judged {
  if (answered.status === null || answered.status >= 500)
    return { verdict: 'unclear', says: `no answer that says anything (${told(answered)})` }
  if (REFUSED_FOR_SCOPE.has(answered.status)) return { verdict: 'WRONG', says: 'it refused a valid credential' }
  return { verdict: 'ok', says: answered.status < 300 ? 'accepted' : `let through to the tool (${answered.status})` }
}

/** Of what must be refused, on the same request that answered `passing` with a valid credential. */
export function judgeRefusal(answered: Answered, passing: number | null, refusals = REFUSED): Judged {
  const { status } = answered
  if (status === null || status >= 500 || status === 429)
    return { verdict: 'unclear', says: `neither accepted nor refused (${told(answered)})` }
  if ((status >= 200 && status < 300) || status === passing) return { verdict: 'WRONG', says: 'ACCEPTED' }
  if (refusals.has(status)) return { verdict: 'ok', says: 'refused' }
  return refusals === REFUSED_FOR_SCOPE
    ? { verdict: 'WRONG', says: `LET THROUGH to the tool (${status})` }
    : { verdict: 'ok', says: `not accepted (${status})` }
}

type Try = { readonly name: string; readonly answered: Answered }

/** The worst of several variants decides. */
function worst(row: string, tries: readonly Try[], judge: (answered: Answered) => Judged, note = ''): Row {
  const judged = tries.map(({ name, answered }) => ({ name, answered, ...judge(answered) }))
  const found = judged.find(({ verdict }) => verdict === 'WRONG') ?? judged.find(({ verdict }) => verdict === 'unclear')
  const { verdict, says, answered, name } = found ?? judged[0]!
  const variant = found === undefined || name === '' ? '' : ` (${name})`
  return { row, status: answered.status, verdict, says: `${says}${variant}${verdict === 'ok' ? note : ''}` }
}

export const notTried = (row: string, says: string): Row => ({ row, status: null, verdict: 'not tried', says })

export type Plan = {
  readonly target: Target
  readonly outOfScope: Target | null
  readonly echo: URL | null
  readonly valid: string
  readonly forgeries: Forgeries
  /** Genuine, of this issuer, for itself: dead already. */
  readonly sessionToken: string
  /** Genuine and alive, for another tool. */
  readonly otherTool: { readonly tool: string; readonly token: string } | null
}

/** Every row that needs no waiting and no revocation, in order. */
export async function immediateRows(plan: Plan, show: (row: Row) => void): Promise<readonly Row[]> {
  const { target, outOfScope, echo, valid, forgeries, sessionToken, otherTool } = plan
  const rows: Row[] = []
  const put = (row: Row) => {
    rows.push(row)
    show(row)
  }
  const answers: Answered[] = []
  const sent = async (bearers: readonly string[], to = target, headers: Readonly<Record<string, string>> = {}) => {
    const answered = await ask(to, bearers, headers)
    answers.push(answered)
    return answered
  }
  const first = await sent([valid])
  put({ row: 'valid', status: first.status, ...judgePassing(first) })
  const passing = first.status === null || REFUSED_FOR_SCOPE.has(first.status) ? null : first.status
  const refusal = (answered: Answered) => judgeRefusal(answered, passing)

  put(worst('none', [{ name: '', answered: await sent([]) }], refusal))
  for (const row of FORGED_ROWS) {
    const tries: Try[] = []
    for (const { name, token } of forgeries[row]) tries.push({ name, answered: await sent([token]) })
    put(worst(row, tries, refusal, BY_FOREIGN_KEY[row] ?? ''))
  }
  put(
    worst(
      'wrong audience: session token',
      [{ name: '', answered: await sent([sessionToken]) }],
      refusal,
      '; it was revoked before it was sent',
    ),
  )
  put(
    otherTool === null
      ? notTried('wrong audience: other tool', '--other-tool names one that has the same scope')
      : worst(
          'wrong audience: other tool',
          [{ name: otherTool.tool, answered: await sent([otherTool.token]) }],
          refusal,
        ),
  )
  if (outOfScope === null) {
    put(notTried('wrong scope', '--expect-out-of-scope names what the credential must not reach'))
  } else {
    const ofScope = (answered: Answered) => judgeRefusal(answered, null, REFUSED_FOR_SCOPE)
    put(worst('wrong scope', [{ name: '', answered: await sent([valid], outOfScope) }], ofScope))
    const answered = await sent([valid], outOfScope, pretending(target))
    put(worst('wrong scope, X-Forwarded-*', [{ name: '', answered }], ofScope))
  }
  const forged = forgeries['foreign key'][0]!.token
  put(
    worst(
      'two Authorization headers',
      [
        { name: 'valid, forged', answered: await sent([valid, forged]) },
        { name: 'forged, valid', answered: await sent([forged, valid]) },
      ],
      refusal,
    ),
  )
  for (const row of await echoRows(echo, valid, sent, answers)) put(row)
  return rows
}

const BY_FOREIGN_KEY: Readonly<Partial<Record<(typeof FORGED_ROWS)[number], string>>> = {
  'wrong issuer': '; signed with another key: ours signs no such token',
  'not yet valid': '; signed with another key: ours signs no such token',
}

/** What a caller could send to make a proxy believe that it asks for something else. */
function pretending({ method, url }: Target): Readonly<Record<string, string>> {
  const path = url.pathname + url.search
  return {
    'X-Forwarded-Method': method,
    'X-Forwarded-Uri': path,
    'X-Original-Method': method,
    'X-Original-URI': path,
    'X-Original-URL': path,
    'X-Rewrite-URL': path,
    'X-HTTP-Method-Override': method,
  }
}

/** Whether the tool is handed our token: seen in any answer so far, or at a URL that answers with what it was asked. */
async function echoRows(
  echo: URL | null,
  valid: string,
  sent: (bearers: readonly string[], to: Target, headers: Readonly<Record<string, string>>) => Promise<Answered>,
  before: readonly Answered[],
): Promise<readonly Row[]> {
  const signature = valid.split('.')[2] ?? valid
  const row = 'our token ends at the proxy'
  const shows = (answered: Answered) => answered.status !== null && answered.text.includes(signature)
  const seen = before.find(shows)
  if (seen !== undefined) return [{ row, status: seen.status, verdict: 'WRONG', says: 'THE TOOL WAS HANDED IT' }]
  if (echo === null) return [notTried(row, '--echo names a URL of the tool that answers with its request')]
  const [nonce, pretended] = [`hpc${randomBytes(9).toString('hex')}`, `hpc${randomBytes(9).toString('hex')}`]
  const url = new URL(echo)
  url.searchParams.set('hallpass-check', nonce)
  const answered = await sent([valid], { method: 'GET', url }, { 'X-Hallpass-Agent': pretended })
  if (shows(answered)) return [{ row, status: answered.status, verdict: 'WRONG', says: 'THE TOOL WAS HANDED IT' }]
  if (answered.status === null || !answered.text.includes(nonce))
    return [{ row, status: answered.status, verdict: 'unclear', says: 'the answer shows nothing of the request' }]
  return [
    { row, status: answered.status, verdict: 'ok', says: 'the tool does not get it' },
    answered.text.includes(pretended)
      ? {
          row: 'X-Hallpass-Agent of the caller',
          status: answered.status,
          verdict: 'WRONG',
          says: 'THE TOOL BELIEVES THE CALLER',
        }
      : {
          row: 'X-Hallpass-Agent of the caller',
          status: answered.status,
          verdict: 'ok',
          says: 'does not reach the tool',
        },
  ]
}

/** Whether the answer to what once passed is now a refusal, tried until `withinMs` after the call. */
export async function revokedRow(target: Target, token: string, withinMs: number, signal: AbortSignal): Promise<Row> {
  const row = 'revoked'
  const since = performance.now()
  for (;;) {
    const asked = performance.now() - since
    const answered = await ask(target, [token])
    const judged = judgeRefusal(answered, null)
    if (judged.verdict === 'ok')
      return {
        row,
        status: answered.status,
        verdict: 'ok',
        says: `refused ${Math.round(asked)} ms after it was revoked`,
      }
    if (asked >= withinMs) {
      const says = `STILL ACCEPTED ${Math.round(asked)} ms after it was revoked`
      return { row, status: answered.status, ...judged, ...(judged.verdict === 'WRONG' ? { says } : {}) }
    }
    await wait(REVOKED_STEP_MS, undefined, { signal })
  }
}

export async function expiredRow(target: Target, token: string): Promise<Row> {
  return worst('expired', [{ name: '', answered: await ask(target, [token]) }], (answered) =>
    judgeRefusal(answered, null),
  )
}
