// A proxied call to a tool with accounts of its own: the grant's account is what the tool sees, made at the first call and
// shared by the next ones, and the agent never holds its secret.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AdmittedCall, admitCall } from '../../src/actions/admit-call.ts'
import { createProxySecrets, type ProxySecrets } from '../../src/actions/proxy-secret.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { readCallTarget } from '../../src/core/call-target.ts'
import type { Grant, Session } from '../../src/core/model.ts'
import { err } from '../../src/core/result.ts'
import { type FakeTool, fakeTool } from '../support/fake-tool.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { accountTool, agent, entry, scope, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

const upstream = {
  url: 'https://desk.example.com',
  secret: null,
  header: 'Authorization',
  prefix: 'Bearer ',
  pass: [],
  bodyBytes: 1024,
}
const SET = setOf(
  accountTool(
    'desk',
    { rights: { read: ['Read'] } },
    { upstream, scopes: { read: scope({ allow: [{ method: 'GET', path: '/x', query: {} }] }) } },
  ),
  agent('bot', { access: [entry('desk', ['read'], { approval: 'none', delivery: 'proxy' })] }),
)

let h: Harness
let tool: FakeTool
let secrets: ProxySecrets
let session: Session
let grant: Grant
beforeEach(async () => {
  tool = fakeTool()
  h = await createHarness({}, new Map([['https://desk.example.com', tool]]))
  await h.start(SET)
  session = await h.session('bot')
  grant = await h.grant(session, 'desk', ['read'])
  secrets = createProxySecrets(h.deps, () => err('it has no fixed secret'))
})
afterEach(() => h.close())

async function admitted(): Promise<AdmittedCall> {
  const { token } = unwrap(await h.credential(session, grant))
  const claims = (await h.deps.signer.verifyToken(token))!
  const call = { tool: 'desk', method: 'GET', target: unwrap(readCallTarget('/x')), requestId: 'rid_1' }
  return unwrap(await admitCall(h.deps, claims, call))
}
const accounts = () => h.rows('account')

describe('a proxied call to a tool with accounts', () => {
  test('is made with the grant’s account, as the tool wants it presented, and the agent holds a token of ours alone', async () => {
    const call = await admitted()
    expect(await accounts()).toEqual([])
    const presented = unwrap(await secrets.of(call, 'rid_1'))!
    const { header, prefix } = tool.capabilities.presents
    expect(presented.header).toBe(header)
    expect(presented.value.reveal().startsWith(prefix)).toBe(true)
    expect(String(presented.value)).toBe('[secret]')
    expect(await accounts()).toMatchObject([{ state: 'present', grant: grant.id, rights: ['Read'] }])
    // Minting what the tool sees is on the trail like any other (P1).
    expect((await h.trail()).filter(({ kind }) => kind === 'credential.issued').at(-1)).toMatchObject({
      subject: { account: expect.any(String) },
      body: { delivery: 'proxy' },
    })
  })

  test('shares the account with the next one, and with one at the same time', async () => {
    const call = await admitted()
    const [one, other] = await Promise.all([secrets.of(call, 'rid_1'), secrets.of(call, 'rid_2')])
    const next = unwrap(await secrets.of(await admitted(), 'rid_3'))
    expect([unwrap(one)!.value.reveal(), unwrap(other)!.value.reveal()]).toEqual([
      next!.value.reveal(),
      next!.value.reveal(),
    ])
    expect((await accounts()).length).toBe(1)
  })

  test('is refused, not made with what is held in memory, once the grant is gone (P5)', async () => {
    const call = await admitted()
    unwrap(await secrets.of(call, 'rid_1'))
    unwrap(await revoke(h.deps, as.admin, { kind: 'grant', id: grant.id, reason: null }))
    expect((await accounts())[0]!.state).not.toBe('present')
    expect(await secrets.of(call, 'rid_2')).toMatchObject({ ok: false })
    await expect(admitted()).rejects.toThrow()
  })
})
