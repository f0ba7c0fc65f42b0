// A live grant becomes an account in the tool: the intent is durable before the tool is asked, and all is judged again
// before its secret leaves (P1, P2, P9). One account a grant; whoever mints meanwhile waits and shares it.

import { orderOf } from '../core/account-name.ts'
import { move } from '../core/lifecycle.ts'
import { UNREVOCABLE_SECONDS_MAX } from '../core/limits.ts'
import type { Account } from '../core/model.ts'
import { type Problem, problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { rightsFor } from '../core/rights.ts'
import type { Secret } from '../core/secret.ts'
import type { Target } from '../core/target.ts'
import { asFailure, latestAccount, leaving, leavingRecord, toolProblem } from './account-rows.ts'
import type { AgentCaller } from './authenticate-session.ts'
import {
  credentialRow,
  endsNow,
  type Issued,
  type IssueInput,
  issuedRecord,
  judgeMint,
  type Mintable,
} from './judge-mint.ts'
import { createFailed, hashOf, knownAccount, makeInTool, planAccount } from './make-account.ts'
import type { Context, Deps } from './ports.ts'
import { type Intent, type Look, transact } from './transact.ts'

type Mint = { readonly caller: AgentCaller; readonly input: IssueInput; readonly context: Context }
type Step =
  | { readonly of: 'issued'; readonly issued: Issued }
  | { readonly of: 'planned'; readonly account: Account; readonly target: Target }
  | { readonly of: 'refused'; readonly problem: Problem }

/** How little an account may have left and still be handed out (ms). */
const WORTH_WHILE_MS = 5_000

export function issueAccount(
  deps: Deps,
  caller: AgentCaller,
  input: IssueInput,
  requestId: string,
): Promise<Result<Issued, Problem>> {
  const mint = { caller, input, context: { caller, requestId } }
  return deps.toolCalls.inOrder(orderOf(input), async () => {
    const first = await transact<Step>(deps, 'normal', (look) => reuseOrPlan(deps, look, mint))
    if (!first.ok) return first
    const step = first.value.value
    if (step.of === 'issued') return ok(step.issued)
    if (step.of === 'planned') return create(deps, mint, step.account, step.target)
    deps.targets.wake()
    return err(step.problem)
  })
}

/** What the tool is to be asked for, judged now. */
async function wanted(deps: Deps, look: Look, mint: Mint) {
  const judged = await judgeMint(look, mint.caller, mint.input)
  if (!judged.ok) return judged
  const { tool, grant, scopes, details } = judged.value
  if (tool.target.type === 'none') return err(problem('conflict', 'The tool has just changed.', { retryable: true }))
  const whole = rightsFor(tool.target, grant.scopes, grant.details)
  const asked = rightsFor(tool.target, scopes, details)
  if (!whole.ok) return whole
  if (!asked.ok) return asked
  if (whole.value.join('\n') !== asked.value.join('\n'))
    return err(
      problem('invalid_request', 'An account holds all that its grant gives, so it cannot be had for less.', {
        hint: 'Ask with request_access for just what you need, and use that grant.',
        nextTool: 'request_access',
      }),
    )
  try {
    const target = deps.targets.of(tool.target)
    return ok({ judged: judged.value, connection: tool.target, target, rights: target.canonical(whole.value) })
  } catch (thrown) {
    return err(toolProblem(asFailure(thrown), tool.name))
  }
}

const again = (message: string, detail: string): Problem =>
  problem('overloaded', message, { retryable: true, retryAfterSeconds: 1, hint: 'Try again in a moment.', detail })

async function reuseOrPlan(deps: Deps, look: Look, mint: Mint): Promise<Result<Intent<Step>, Problem>> {
  const want = await wanted(deps, look, mint)
  if (!want.ok) return want
  const { judged, connection, target, rights } = want.value
  const { account, generation } = await latestAccount(deps, look, judged.grant.id)
  if (account?.state === 'planned' || account?.state === 'leaving') {
    const problem = again('The last account under this grant is still being taken away.', `account ${account.state}`)
    return ok({ value: { of: 'refused', problem }, records: [] })
  }
  if (account?.state === 'present') return reuse(deps, look, mint, account, want.value)
  const endsAt = endOf(judged, target, look.now)
  const { account: row, record } = planAccount(deps, mint.context, look.now, judged.world.installation, {
    agent: judged.grant.agent,
    tool: judged.grant.tool,
    grant: judged.grant.id,
    generation,
    connection,
    rights,
    until: endsAt,
  })
  return ok({
    value: { of: 'planned', account: row, target },
    put: [{ kind: 'account', row }],
    notAfter: endsAt,
    records: [record],
  })
}

/** S11, and sooner where nothing can be taken away before it expires by itself. */
const endOf = ({ endsAt }: Mintable, { capabilities }: Target, now: number): number =>
  capabilities.revokes ? endsAt : Math.min(endsAt, now + UNREVOCABLE_SECONDS_MAX * 1000)

type Wanted = {
  readonly judged: Mintable
  readonly target: Target
  readonly rights: readonly string[]
}

/** The account that is there, unless it is not what would be made now: then it goes, and the next call makes another. */
function reuse(
  deps: Deps,
  look: Look,
  mint: Mint,
  account: Account,
  { judged, target, rights }: Wanted,
): Result<Intent<Step>, Problem> {
  const secret =
    account.sealed === null ? null : deps.vault.open(account.sealed, { id: account.id, purpose: 'account' })
  const wantedEnd = endOf(judged, target, look.now)
  // A tool that ends it by itself was told when.
  const endsAt = target.capabilities.expires ? Math.min(wantedEnd, account.until) : wantedEnd
  const isSame = secret !== null && account.rights.join('\n') === rights.join('\n')
  if (!isSame || look.now >= account.until || endsAt - look.now < Math.min(WORTH_WHILE_MS, wantedEnd - look.now)) {
    const row = leaving(account, look.now, { because: 'replaced', revocation: null, unsettledMs: null })
    return ok({
      value: { of: 'refused', problem: again('The account under this grant is being replaced.', 'account replaced') },
      put: [{ kind: 'account', row }],
      records: [leavingRecord(mint.context, look.now, row, 'replaced')],
    })
  }
  return ok(
    handOut(deps, look, mint, { ...account, until: Math.max(account.until, endsAt) }, judged, target, secret, endsAt),
  )
}

function handOut(
  deps: Deps,
  look: Look,
  mint: Mint,
  account: Account,
  judged: Mintable,
  { capabilities }: Target,
  secret: Secret,
  endsAt: number,
): Intent<Step> {
  const credential = credentialRow(judged, {
    id: deps.ids.next('crd'),
    account: account.id,
    kid: '',
    claimsHash: hashOf(secret),
    issuedAt: look.now,
    expiresAt: endsAt,
  })
  const { header, prefix } = capabilities.presents
  return {
    value: {
      of: 'issued',
      issued: { credential, token: secret.reveal(), grant: judged.grant, use: { header, prefix } },
    },
    put: [
      { kind: 'account', row: account },
      { kind: 'credential', row: credential },
    ],
    notAfter: endsAt,
    records: [issuedRecord(mint.context, look.now, judged, credential)],
  }
}

/** Asks the tool, and judges everything again: what died meanwhile leaves, and its secret reaches nobody. */
async function create(deps: Deps, mint: Mint, planned: Account, target: Target): Promise<Result<Issued, Problem>> {
  const { rights, until } = planned
  try {
    const label = `Hallpass: agent ${planned.agent}, grant ${planned.grant}`
    const made = await makeInTool(deps, planned, target, label)
    const done = await transact<Step>(deps, 'normal', async (look) => {
      const account = await look.row('account', planned.id)
      if (account === undefined) throw new Error(`account ${planned.id} has no row`)
      const { known, record: created } = knownAccount(deps, mint.context, look.now, account, made)
      const want = await wanted(deps, look, mint)
      if (account.state !== 'planned') {
        const refusal = want.ok ? again('It was taken away while it was made.', `account ${account.state}`) : want.error
        const put = account.state === 'leaving' ? [{ kind: 'account' as const, row: known }] : []
        return ok({ value: { of: 'refused', problem: refusal }, put, records: [created] })
      }
      const present = move('account', known, 'present')
      if (!want.ok || want.value.rights.join('\n') !== rights.join('\n')) {
        const refusal = want.ok ? again('The tool changed while it was made.', 'rights changed') : want.error
        const row = leaving(present, look.now, { because: refusal.code, revocation: null, unsettledMs: null })
        return ok({
          value: { of: 'refused', problem: refusal },
          put: [{ kind: 'account' as const, row }],
          records: [created, leavingRecord(mint.context, look.now, row, refusal.code)],
        })
      }
      const endsAt = Math.min(until, endOf(want.value.judged, target, look.now))
      if (endsAt <= look.now) return err(endsNow())
      const intent = handOut(deps, look, mint, present, want.value.judged, target, made.secret, endsAt)
      return ok({ ...intent, records: [created, ...intent.records] })
    })
    if (done.ok && done.value.value.of === 'issued') return ok(done.value.value.issued)
    // What could not be committed is still planned: the keeper finds it and takes it away.
    deps.targets.wake()
    if (!done.ok) return done
    return err(done.value.value.of === 'refused' ? done.value.value.problem : endsNow())
  } catch (thrown) {
    return createFailed(deps, mint.context, planned, thrown)
  }
}
