// A child process: what a mint, a start, a decommission and a revision cost on a real store that holds a lot. It prints one
// line of JSON. Arguments: `size AGENTS GRANTS`, `decommission CREDENTIALS`, `revision AGENTS`.

import { applyManifests } from '../../../src/actions/apply-manifests.ts'
import { decommissionAgent } from '../../../src/actions/decommission-agent.ts'
import { recordOf } from '../../../src/actions/transact.ts'
import { openSqliteStore } from '../../../src/adapters/store/sqlite/sqlite-store.ts'
import { systemIds } from '../../../src/adapters/system/ids.ts'
import type { Grant, Row, Session } from '../../../src/core/model.ts'
import { seal } from '../../../src/core/record.ts'
import { as, createHarness, type Harness } from '../../support/harness.ts'
import { agent, entry, scope, setOf, tool } from '../../support/manifest-set.ts'
import { unwrap } from '../../support/store-on-disk.ts'

const nameOf = (index: number) => `agent-${String(index).padStart(6, '0')}`
const access = entry('metrics', ['read'], { approval: 'none', tokenTtlSeconds: 600 })
const metrics = tool('metrics', { scopes: { read: scope() }, details: {} })
const agents = (count: number, more: Parameters<typeof agent>[1] = {}) =>
  Array.from({ length: count }, (_, index) => agent(nameOf(index), { access: [access], ...more }))
const memoryMib = () => process.memoryUsage().rss / 2 ** 20
const timed = async <T>(work: () => Promise<T>): Promise<[T, number]> => {
  const began = performance.now()
  const value = await work()
  return [value, performance.now() - began]
}

async function size(agentCount: number, grantCount: number) {
  const harness = await createHarness()
  try {
    await harness.start(setOf(metrics, ...agents(agentCount)))
    const held: { session: Session; grant: Grant }[] = []
    for (let i = 0; i < 64; i++) {
      const session = await harness.session(nameOf(Math.floor((i * agentCount) / 64)))
      held.push({ session, grant: await harness.grant(session, 'metrics', ['read']) })
    }
    await addGrants(harness, held[0]!.grant, agentCount, grantCount)
    const mint = async (count: number) => {
      for (let done = 0; done < count; done += 32)
        await Promise.all(
          Array.from({ length: 32 }, async (_, i) => {
            const { session, grant } = held[(done + i) % held.length]!
            unwrap(await harness.credential(session, grant))
          }),
        )
    }
    await mint(3_200)
    const cpu: number[] = []
    for (let batch = 0; batch < 20; batch++) {
      const before = process.cpuUsage()
      await mint(320)
      const { user, system } = process.cpuUsage(before)
      cpu.push((user + system) / 320)
    }
    const { path } = harness.disk
    await harness.disk.store.close()
    const began = performance.now()
    const reopened = await openSqliteStore({ path, clock: harness.disk.clock })
    const startMs = performance.now() - began
    await reopened.close()
    const sorted = cpu.sort((a, b) => a - b)
    return {
      agents: agentCount,
      grants: grantCount,
      mintMicroseconds: sorted[sorted.length >> 1],
      startMs,
      memoryMib: memoryMib(),
    }
  } finally {
    await harness.close()
  }
}

/** Live grants of all agents, as rows: asking for a million would measure the asking. */
async function addGrants({ deps, disk }: Harness, like: Grant, agentCount: number, count: number): Promise<void> {
  const ids = systemIds(disk.clock)
  for (let done = 0; done < count; done += 500) {
    const put = Array.from({ length: Math.min(500, count - done) }, (_, i): Row => {
      const name = nameOf((done + i) % agentCount)
      return { kind: 'grant', row: { ...like, id: ids.next('grt'), agent: name, session: `ses_${name}` } }
    })
    const at = disk.clock.now()
    const record = recordOf(as.operator, at, 'rows.followed', {}, { rows: 'seeded', count: put.length })
    const outcome = await deps.store.commit({
      id: ids.next('cmt'),
      lane: 'normal',
      at,
      notAfter: null,
      expect: new Map(),
      put,
      once: [],
      records: [seal(record, () => ids.random(16))],
    })
    if (!outcome.ok) throw new Error(`the seed was refused: ${outcome.why}`)
  }
}

async function decommission(count: number) {
  const harness = await createHarness()
  try {
    await harness.start(setOf(metrics, ...agents(4)))
    const name = nameOf(1)
    const session = await harness.session(name)
    const grant = await harness.grant(session, 'metrics', ['read'])
    for (let done = 0; done < count; done += 100)
      for (const issued of await Promise.all(Array.from({ length: 100 }, () => harness.credential(session, grant))))
        unwrap(issued)
    const began = performance.now()
    const ending = decommissionAgent(harness.deps, as.admin, { agent: name, reason: null })
    while ((await harness.credential(session, grant)).ok) await new Promise(setImmediate)
    const refusedMs = performance.now() - began
    const { counts } = unwrap(await ending)
    return { credentials: counts.credentials, refusedMs, allMs: performance.now() - began }
  } finally {
    await harness.close()
  }
}

async function revision(count: number) {
  const harness = await createHarness()
  try {
    const all = agents(count)
    const [, initMs] = await timed(() => harness.start(setOf(metrics, ...all)))
    const changed = all.map((one, index) => (index === 5 ? { ...one, access: [] } : one))
    const set = setOf(metrics, ...changed)
    const [applied, applyMs] = await timed(() => applyManifests(harness.deps, as.watcher, { set, base: null }))
    return { agents: count, initMs, applyMs, narrowings: unwrap(applied).narrowings.length, memoryMib: memoryMib() }
  } finally {
    await harness.close()
  }
}

const [, , what, first, second] = process.argv
const result =
  what === 'size'
    ? await size(Number(first), Number(second))
    : what === 'decommission'
      ? await decommission(Number(first))
      : await revision(Number(first))
process.stdout.write(`${JSON.stringify(result)}\n`)
