// `key rotate --compromised`, as an operator types it while the house burns.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { testDatabase } from '../support/test-store.ts'
import { hallpass, temporaryFolder } from './launcher.ts'

const folder = temporaryFolder()
let broker: SampleBroker
beforeAll(async () => {
  broker = await startSampleBroker(await testDatabase())
})
afterAll(async () => {
  await broker.close()
  folder.remove()
})

test('prints the receipt, what was withdrawn and what signs; the token is dead, the key not in the JWKS (S19)', async () => {
  const admin = { HALLPASS_URL: broker.url, HALLPASS_TOKEN: broker.adminToken }
  const agent = {
    HALLPASS_URL: broker.url,
    HALLPASS_AGENT: 'triage-bot',
    HALLPASS_AGENT_KEY: broker.agents['triage-bot']!.keyPath,
  }
  const ask = ['token', 'metrics', '--scope', 'metrics:read', '--reason', 'INC-1']
  const { stdout: session } = await hallpass(folder.path, ['session', 'token'], agent)
  expect((await hallpass(folder.path, ask, agent)).code).toBe(0)
  const kids = async () => {
    const { keys } = (await (await fetch(`${broker.url}/.well-known/jwks.json`)).json()) as { keys: { kid: string }[] }
    return keys.map(({ kid }) => kid)
  }
  const [before] = await kids()

  // No guard holds a lease yet, and one lease of uptime must be behind us: --wait is long enough for that.
  const done = await hallpass(
    folder.path,
    ['key', 'rotate', '--compromised', '--reason', 'leaked', '--wait', '25s'],
    admin,
  )
  expect(done.stdout).toContain(`Withdrawn: ${before}.`)
  expect(done.stdout).toMatch(/act +key compromised/)
  expect(done).toMatchObject({ code: 0, stdout: expect.stringMatching(/status +revoked/) })
  expect(await kids()).not.toContain(before)
  const refused = await fetch(`${broker.url}/v1/whoami`, { headers: { authorization: `Bearer ${session.trim()}` } })
  expect(refused.status).toBe(401)
  expect((await hallpass(folder.path, ask, agent)).code).toBe(0)

  const again = await hallpass(folder.path, ['key', 'rotate', '--compromised', '--kid', String(before)], admin)
  expect(again).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('withdrawn already') })
  expect(await hallpass(folder.path, ['key', 'rotate', '--kid', 'x'], admin)).toMatchObject({ code: 1 })
})
