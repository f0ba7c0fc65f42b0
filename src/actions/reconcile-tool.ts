// Looks at what one tool holds and sorts it against what it should hold; heals or reports as its manifest says. A list is
// old by the time it is read: each finding is looked at again before anything is done about it, and nobody else's account
// is ever touched.

import { installationTag, isOurs, orderOf } from '../core/account-name.ts'
import { type Finding, type KnownAccount, sortHeld } from '../core/drift.ts'
import { TARGET } from '../core/limits.ts'
import type { AccountTarget } from '../core/manifest.ts'
import { type Account, keyOf } from '../core/model.ts'
import { personal } from '../core/record.ts'
import { ok } from '../core/result.ts'
import { rightsFor } from '../core/rights.ts'
import { sliceId } from '../core/slice.ts'
import type { HeldAccount, Target } from '../core/target.ts'
import { asFailure, leaving, leavingRecord, liveAccounts, placeOf } from './account-rows.ts'
import type { Context, Deps, Reconciled, Reported } from './ports.ts'
import { toolsInForce } from './tools-in-force.ts'
import { type Look, recordOf, transact } from './transact.ts'

type Tool = { readonly name: string; readonly connection: AccountTarget; readonly target: Target; readonly tag: string }
type Done = { readonly did: Reported['did']; readonly detail?: string } | null

const RECORDS_AT_ONCE = 100

const reconciler = (requestId: string): Context => ({ caller: { role: 'system', part: 'reconciler' }, requestId })

/** Every tool with accounts, each by itself: one that hangs holds up no other. */
export async function reconcileTools(deps: Deps): Promise<void> {
  const tools = [...(await toolsInForce(deps))].filter(([, { target }]) => target.type !== 'none')
  for (const name of deps.drifts.keys()) if (!tools.some(([tool]) => tool === name)) deps.drifts.delete(name)
  await Promise.all(
    tools.map(([name]) =>
      reconcileTool(deps, reconciler(deps.ids.next('tsk')), name).catch((thrown: unknown) =>
        deps.log.error({ tool: name, error: String(thrown) }, 'a tool was not reconciled'),
      ),
    ),
  )
}

/** Null: there is no such tool in force, or it has no accounts. */
export const reconcileTool = (deps: Deps, context: Context, name: string): Promise<Reconciled | null> =>
  deps.toolCalls.inOrder(`reconcile ${name}`, async () => {
    const id = sliceId.tool(name)
    const snapshot = await deps.store.read([keyOf('slice', id), 'installation/self'])
    const value = snapshot.get('slice', id)?.value
    if (value?.of !== 'tool' || value.target.type === 'none') return null
    const initializedAt = snapshot.get('installation', 'self')?.initializedAt ?? null
    const tag = installationTag(deps.settings.issuer, initializedAt)
    const before = deps.drifts.get(name)
    const result = await look(deps, context, { name, connection: value.target, tag }, before?.findings ?? [])
    deps.drifts.set(name, result)
    return result
  })

async function look(
  deps: Deps,
  context: Context,
  of: Omit<Tool, 'target'>,
  before: readonly Reported[],
): Promise<Reconciled> {
  try {
    const tool = { ...of, target: deps.targets.of(of.connection) }
    const held = await listed(deps, tool)
    // After the list: whatever stands in it was planned before it was made.
    const { known, others } = await knownAccounts(deps, tool, held)
    const mine = held.filter(({ name }) => !others.has(name))
    const sorted = sortHeld(mine, known, (name) => isOurs(tool.tag, name), tool.connection.reconcile)
    const findings: Reported[] = []
    let managed = sorted.managed
    for (const finding of sorted.findings) {
      const done = await act(deps, context, tool, finding)
      if (done === null) managed++
      else findings.push({ ...finding, ...done })
    }
    await tell(deps, context, tool.name, findings, before)
    return { at: deps.clock.now(), managed, findings, failure: null }
  } catch (thrown) {
    const { why, message } = asFailure(thrown)
    deps.log.warn({ tool: of.name, why }, 'a tool cannot be looked through')
    return { at: deps.clock.now(), managed: 0, findings: before, failure: `${why}: ${message}`.slice(0, 300) }
  }
}

/** All of it, or, where a tool lists nothing, what is known by name. */
async function listed(deps: Deps, { name, target, connection }: Tool): Promise<readonly HeldAccount[]> {
  if (target.capabilities.lists)
    return deps.toolCalls.call(name, 'listMs', (signal) => target.list(TARGET.listed, signal))
  const held: HeldAccount[] = []
  for (const account of await liveIn(deps, name, connection)) {
    const seen = await lookAt(deps, name, target, account.name)
    if (seen !== null) held.push(seen)
  }
  return held
}

const lookAt = (deps: Deps, tool: string, target: Target, name: string) =>
  deps.toolCalls.call(tool, 'lookMs', (signal) => target.look({ name }, signal))

const liveIn = async (deps: Deps, name: string, connection: AccountTarget): Promise<readonly Account[]> =>
  (await liveAccounts(deps)).filter(({ tool, target }) => tool === name && placeOf(target) === placeOf(connection))

/**
 * A row for each that should be there, and for each that is there and has one. `others`: names of another tool's, where two
 * manifests connect to one and the same: they are that tool's to look after.
 */
async function knownAccounts(deps: Deps, tool: Tool, held: readonly HeldAccount[]) {
  const known = new Map<string, KnownAccount>()
  const others = new Set<string>()
  for (const row of await liveIn(deps, tool.name, tool.connection)) known.set(row.name, await knownOf(deps, tool, row))
  for (const { name, active } of held) {
    if (!active || known.has(name) || !name.startsWith('hp-')) continue
    const row = await rowNamed(deps, name)
    if (row === undefined) continue
    if (row.tool !== tool.name && row.state !== 'gone') others.add(name)
    else known.set(name, await knownOf(deps, tool, row))
  }
  return { known, others }
}

/** A name is one grant's, so there is one row at most, of whichever tool. */
const rowNamed = async (deps: Deps, name: string): Promise<Account | undefined> =>
  (await deps.store.list({ kind: 'account', where: { hash: name }, limit: 1 })).rows[0]

async function knownOf(deps: Deps, tool: Tool, row: Account): Promise<KnownAccount> {
  const { id, name, state } = row
  return { id, name, state, rights: state === 'present' ? await rightsOf(deps, tool, row) : null }
}

/** What its grant gives under the manifest in force; null where that cannot be said. */
async function rightsOf(deps: Deps, { connection, target }: Tool, { grant }: Account) {
  const row = (await deps.store.read([keyOf('grant', grant)])).get('grant', grant)
  const rights = row === undefined ? null : rightsFor(connection, row.scopes, row.details)
  return rights?.ok ? target.canonical(rights.value) : null
}

/** Null: looked at again, there is nothing wrong. */
async function act(deps: Deps, context: Context, tool: Tool, finding: Finding): Promise<Done> {
  const { reconcile } = tool.connection
  try {
    switch (finding.drift) {
      case 'other':
        return { did: 'reported' }
      case 'ghost':
      case 'unlocked':
        return reconcile.ghosts === 'report' ? { did: 'reported' } : await removeGhost(deps, tool, finding)
      case 'missing':
        return await replaceMissing(deps, context, tool, finding)
      case 'over-scoped':
      case 'under-scoped':
        return reconcile.overScoped === 'report' ? { did: 'reported' } : await heal(deps, tool, finding)
    }
  } catch (thrown) {
    const { why, message } = asFailure(thrown)
    return { did: 'failed', detail: `${why}: ${message}` }
  }
}

const orderFor = async (deps: Deps, name: string) => {
  const row = await rowNamed(deps, name)
  return row === undefined ? `account ${name}` : orderOf(row)
}

/** One of ours that no live row explains, by its name and by its row as they are now. */
async function removeGhost(deps: Deps, { name: tool, target }: Tool, { name }: Finding): Promise<Done> {
  return deps.toolCalls.inOrder(await orderFor(deps, name), async () => {
    const row = await rowNamed(deps, name)
    if (row !== undefined && row.state !== 'gone') return null
    await deps.toolCalls.call(tool, 'changeMs', (signal) => target.remove({ name }, signal))
    const seen = await lookAt(deps, tool, target, name)
    return seen?.active ? { did: 'failed', detail: 'the tool still shows it active' } : { did: 'removed' }
  })
}

/** What is not there is taken for gone once that is confirmed: the grant's next mint makes another. */
async function replaceMissing(deps: Deps, context: Context, tool: Tool, finding: Finding): Promise<Done> {
  const seen = await lookAt(deps, tool.name, tool.target, finding.name)
  if (seen?.active) return null
  const left = await transact<boolean>(deps, 'normal', async (read) => {
    const row = await read.row('account', finding.account ?? '')
    if (row?.state !== 'present') return ok({ value: false, records: [] })
    const next = leaving(row, read.now, { because: 'missing in the tool', revocation: null, unsettledMs: null })
    return ok({
      value: true,
      put: [{ kind: 'account' as const, row: next }],
      records: [leavingRecord(context, read.now, next, 'missing in the tool')],
    })
  })
  if (!left.ok) return { did: 'failed', detail: left.error.message }
  deps.targets.wake()
  return left.value.value ? { did: 'healed' } : null
}

async function heal(deps: Deps, tool: Tool, finding: Finding): Promise<Done> {
  const { name, target } = tool
  return deps.toolCalls.inOrder(await orderFor(deps, finding.name), async () => {
    const row = await rowNamed(deps, finding.name)
    const rights = row?.state === 'present' ? await rightsOf(deps, tool, row) : null
    if (row === undefined || rights === null) return null
    await deps.toolCalls.call(name, 'changeMs', (signal) => target.setRights({ name: row.name }, rights, signal))
    const seen = await lookAt(deps, name, target, row.name)
    const isRight = seen?.active === true && seen.rights.join('\n') === rights.join('\n')
    return isRight ? { did: 'healed' } : { did: 'failed', detail: 'the tool shows other rights still' }
  })
}

const signature = ({ drift, name, rights, did }: Reported) => JSON.stringify([drift, name, rights, did])

/** On the trail when it is first seen, so that what only is reported is one record and not one a minute. */
async function tell(
  deps: Deps,
  context: Context,
  tool: string,
  findings: readonly Reported[],
  before: readonly Reported[],
): Promise<void> {
  const told = new Set(before.map(signature))
  const news = findings.filter((finding) => finding.did === 'removed' || !told.has(signature(finding)))
  for (const { drift, did } of news)
    if (drift !== 'other') deps.log.error({ tool, finding: drift, did }, 'a tool holds something else than it should')
  for (let from = 0; from < news.length; from += RECORDS_AT_ONCE)
    await transact(deps, 'normal', async (read: Look) =>
      ok({
        value: null,
        records: news.slice(from, from + RECORDS_AT_ONCE).map(({ drift, name, account, rights, did, detail }) =>
          recordOf(
            context,
            read.now,
            'tool.drift',
            { tool, ...(account === null ? {} : { account }) },
            {
              finding: drift,
              name: personal(name.slice(0, 256)),
              ...(account === null ? {} : { account }),
              ...(rights.length === 0
                ? {}
                : { rights: rights.slice(0, 32).map((right) => personal(right.slice(0, 256))) }),
              did,
              ...(detail === undefined ? {} : { detail: personal(detail.slice(0, 300)) }),
            },
          ),
        ),
      }),
    )
}
