// The folder that the broker watches, with an attacker in the checkout: what is half there, locked, linked out of the
// folder or put back is never more than what its owners accepted (S3, S5).

import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import type { SliceValue } from '../../src/core/slice.ts'
import { testDatabase } from '../support/test-store.ts'
import { bearer, send } from './wire.ts'

const AGENT = 'agents/triage-bot.yaml'

let broker: SampleBroker
beforeEach(async () => {
  broker = await startSampleBroker(await testDatabase())
})
afterEach(() => broker.close())

const path = (name: string) => join(broker.scopesPath, name)
const deps = () => broker.running.broker.deps
const inForce = async (id: string): Promise<SliceValue | null> =>
  (await deps().store.read([`slice/${id}`])).get('slice', id)?.value ?? null
const access = async () => {
  const value = await inForce('access/triage-bot/metrics')
  return value?.of === 'access' ? value.entitlements.map(({ scopes }) => scopes.join(' ')) : []
}
const faults = async () =>
  (await send(`${broker.url}/v1/status`, { headers: bearer(broker.adminToken) })).json as {
    readonly [key: string]: unknown
  }
const said = async () => JSON.stringify(await faults())
/** Long enough for two scans to agree several times over. */
const settles = () => new Promise((resolve) => setTimeout(resolve, 900))
const widen = (text: string) => text.replace('scopes: [metrics:read]', 'scopes: [metrics:read, metrics:admin]')

test('while git holds its lock nothing of a checkout counts, however long it is half there (S3)', async () => {
  const before = readFileSync(path(AGENT), 'utf8')
  mkdirSync(path('.git'))
  writeFileSync(path('.git/index.lock'), '')
  // Half of it: the agent is away, the tool's scopes are another's.
  rmSync(path(AGENT))
  writeFileSync(
    path('tools/metrics.yaml'),
    readFileSync(path('tools/metrics.yaml'), 'utf8').replace('risk: high', 'risk: low'),
  )
  await settles()
  expect(await access()).toEqual(['metrics:read'])
  writeFileSync(path(AGENT), widen(before))
  rmSync(path('.git/index.lock'))
  await expect
    .poll(
      async () => (await deps().store.list({ kind: 'widening', where: { state: 'waiting' }, limit: 10 })).rows.length,
      { timeout: 10_000 },
    )
    .toBeGreaterThan(0)
  // Whole now: it was edited, never away, and what is more waits.
  expect(await access()).toEqual(['metrics:read'])
})

test('a file that is missing in the middle takes its access, and brings back that and no more (S3)', async () => {
  const before = readFileSync(path(AGENT), 'utf8')
  renameSync(path(AGENT), join(broker.dataPath, 'away.yaml'))
  await expect.poll(access, { timeout: 10_000 }).toEqual([])
  writeFileSync(path(AGENT), widen(before))
  await settles()
  expect(await access()).toEqual([])
  writeFileSync(path(AGENT), before)
  await settles()
  expect(await access()).not.toContain('metrics:admin metrics:read')
})

test.each([
  ['a manifest', 'agents/spy.yaml'],
  ['a key', 'agents/keys/spy.pub.pem'],
  ['a folder', 'more'],
])(
  '%s that is a symbolic link changes nothing, is told, and what it points to is told to nobody (S3, S5)',
  async (_, at) => {
    const secret = join(broker.dataPath, 'kek')
    const kek = readFileSync(secret, 'utf8').trim()
    const before = await access()
    symlinkSync(at === 'more' ? broker.dataPath : secret, path(at))
    writeFileSync(path(AGENT), widen(readFileSync(path(AGENT), 'utf8')))
    await expect.poll(said, { timeout: 10_000 }).toContain('symbolic link')
    expect(await access()).toEqual(before)
    expect(await said()).not.toContain(kek)
    const records = await deps().store.records(0, 1000)
    expect(
      records.map(({ bytes, opened }) => Buffer.from(bytes).toString() + JSON.stringify(opened)).join(''),
    ).not.toContain(kek)
  },
)

test('a key file that names the KEK, a private key or a device brings down nothing and tells nothing of it (S5)', async () => {
  const before = readFileSync(path(AGENT), 'utf8')
  const kek = readFileSync(join(broker.dataPath, 'kek'), 'utf8').trim()
  for (const name of [
    '../../data/kek',
    '../../keys/triage-bot.pem',
    join(broker.dataPath, 'kek'),
    '/dev/zero',
    '/etc/passwd',
  ]) {
    writeFileSync(path(AGENT), before.replace('keys/triage-bot.pub.pem', name))
    await expect.poll(said, { timeout: 10_000 }).toMatch(/publicKeyFile/)
    const told = await said()
    expect(told).not.toContain(kek)
    expect(told).not.toMatch(/PRIVATE KEY|root:/)
    expect(await access()).toEqual(['metrics:read'])
  }
})
