// Receipts on the owners' page: what was taken away and who showed that it is dead, for whoever may see it and nobody else.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { createTakingAway, type TakingAway } from '../../src/actions/take-accounts-away.ts'
import { PAGE_HEADERS } from '../../src/adapters/console/page.ts'
import { TargetFailure } from '../../src/core/target.ts'
import { type ApiServer, apiServer } from '../support/api-server.ts'
import { type FakeTool, fakeTool } from '../support/fake-tool.ts'
import { as } from '../support/harness.ts'
import { accountTool, agent, entry, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const SET = setOf(
  accountTool('desk'),
  agent('bot', { access: [entry('desk', ['read'], { approval: 'none' })] }),
  agent('other', { owners: ['bob@example.com'] }),
)

let server: ApiServer
let desk: FakeTool
let takingAway: TakingAway
let alice: string
beforeEach(async () => {
  desk = fakeTool()
  server = await apiServer({}, {}, { set: SET, tools: new Map([['https://desk.example.com', desk]]) })
  takingAway = createTakingAway(server.harness.deps)
  alice = await server.bearer('owner', 'alice@example.com')
})
afterEach(async () => {
  await takingAway.stop()
  await server.close()
})

/** An account is made and its grant revoked; the receipt's id. */
async function taken(reason: string | null = null): Promise<string> {
  const { harness } = server
  const session = await harness.session('bot')
  const grant = await harness.grant(session, 'desk', ['read'])
  unwrap(await harness.credential(session, grant))
  return unwrap(await revoke(harness.deps, as.admin, { kind: 'grant', id: grant.id, reason })).id
}
async function round(seconds: number) {
  server.harness.disk.clock.advance(seconds)
  await takingAway.round()
  await reconcileTargets(server.harness.deps, new Set())
}
const list = (token = alice) => server.call('GET', '/console/receipts', token)
const see = (id: string, token: string | null = alice) => server.call('GET', `/console/receipts/${id}`, token)
const words = (text: string) => text.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ')

test('an owner sees what was removed, read back and probed dead, per account and after how long (P5, S15)', async () => {
  const id = await taken('INC-4812 is closed')
  expect(words((await see(id)).text)).toMatch(
    /being revoked.*desk being revoked.*tried again until the tool shows it dead/,
  )
  await round(2)
  const { status, text } = await see(id)
  expect(status).toBe(200)
  const { name } = (await server.harness.rows('account'))[0]!
  expect(words(text)).toContain(`${name} Removed after 2000 ms Read back after 2000 ms Probed dead after 2000 ms`)
  expect(words(text)).toMatch(/Status revoked 2000 ms after it was asked/)
  for (const part of [
    'grant revoked',
    'INC-4812 is closed',
    id,
    '1 grant, 1 credential',
    'admin@example.com',
    'bot on desk',
  ])
    expect(words(text)).toContain(part)
  expect(text).not.toContain('Look again')
  expect(words((await list()).text)).toMatch(/Nothing: every tool has confirmed.*grant\/\S+ revoked/)
})

test('what a tool does not confirm is outstanding, with the reason and until when, and never said to be revoked (S15)', async () => {
  desk.fault = (op) => (op === 'remove' ? 'down' : null)
  const id = await taken()
  const { deadline } = (await server.harness.row('revocation', id))!.confirmations[0]!
  await round(2)
  await round(600)
  const { text } = await see(id)
  expect(words(text)).toMatch(/Status outstanding/)
  expect(words(text)).toMatch(/is still there Removed not yet Read back not yet Probed dead not yet/)
  expect(words(text)).toContain('Last failure: remove: ECONNREFUSED')
  expect(text).toContain(`due by <time datetime="${new Date(deadline).toISOString()}"`)
  expect(words(text)).not.toMatch(/ revoked [^b]* after it was asked/)
  expect(words((await list()).text)).toMatch(
    /What is being taken away.*outstanding.*Taken away, and confirmed Nothing yet/,
  )
  desk.fault = () => null
  await round(600)
  expect(words((await see(id)).text)).toMatch(/Status revoked \d+/)
})

test.each([
  ['another owner', 'owner', 'bob@example.com', [200, 403]],
  ['a publisher', 'publisher', 'ci@example.com', [403, 403]],
] as const)('%s sees none of it, by the list or by its id (S7)', async (_, kind, subject, expected) => {
  const id = await taken()
  const token = await server.bearer(kind, subject)
  const seen = [await list(token), await see(id, token)]
  expect(seen.map(({ status }) => status)).toEqual(expected)
  for (const { text } of seen) expect(text).not.toMatch(/desk|grant\/|hp-/)
  expect((await see('rvk_none', token)).status).toBe(403)
})

test.each(['admin', 'auditor'] as const)('an %s sees it, and what is missing is said to be (S7)', async (kind) => {
  const id = await taken()
  const token = await server.bearer(kind, `${kind}@example.com`)
  expect((await list(token)).text).toContain(id)
  expect((await see(id, token)).text).toContain('desk')
  for (const none of ['rvk_none', '%3Cscript%3E', 'a'.repeat(200)]) expect((await see(none, token)).status).toBe(404)
})

test('the link without signing in, and an agent’s token, show nothing of it (S20, P4)', async () => {
  const id = await taken()
  const [page, other] = [
    await server.call('GET', `/receipts/${id}`, null),
    await server.call('GET', '/receipts/rvk_none', null),
  ]
  expect([page.status, page.text]).toEqual([200, other.text])
  expect((await see(id, null)).status).toBe(401)
  const { token } = await server.session('bot')
  expect([(await see(id, token)).status, (await list(token)).status]).toEqual([403, 403])
})

test('what a person or a tool wrote is escaped and stripped, and the page stays closed to all but its own script (S20)', async () => {
  const nasty = '<img src=x onerror=alert(1)> \u202Eyrav\u202C \u001b[31m a\u200bb'
  desk.remove = async () => {
    throw new TargetFailure('garbled', nasty)
  }
  const id = await taken(nasty)
  await round(2)
  for (const { text, headers } of [await see(id), await list()]) {
    expect(text).not.toMatch(/<img|[\u202a-\u202e\u2066-\u2069\u200b\u001b]|<script|<style|\sstyle=/)
    for (const [name, value] of Object.entries(PAGE_HEADERS)) expect(headers.get(name)).toBe(value)
    expect(headers.has('set-cookie')).toBe(false)
  }
  expect((await see(id)).text.match(/&lt;img src=x onerror=alert\(1\)&gt;/g)).toHaveLength(2)
})
