// The conformance suite against the whole broker as it is served, without fixtures: what applies to it passes, and each
// scenario that does not apply is named with its reason.

import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type SampleBroker, startSampleBroker } from '../../src/commands/sample-broker.ts'
import { MCP_CLIENTS, type McpAgent } from '../support/mcp-clients.ts'
import { lendToken } from './lend-a-token.ts'
import { runSuite } from './run-suite.ts'

let broker: SampleBroker
let agent: McpAgent
let lent: Awaited<ReturnType<typeof lendToken>>
beforeAll(async () => {
  broker = await startSampleBroker()
  agent = await MCP_CLIENTS['the official client, pinned to 2026-07-28']!(broker, 'triage-bot')
  lent = await lendToken(`${broker.url}/mcp`, () => agent.sessionToken())
})
afterAll(async () => {
  await lent.close()
  await agent.close()
  await broker.close()
})

const passed = (checks: readonly { status: string }[] | undefined) =>
  (checks ?? [{ status: 'MISSING' }]).every(({ status }) => status === 'SUCCESS' || status === 'INFO')

test.each([
  [
    '2026-07-28',
    [
      'tools-list',
      'server-sse-multiple-streams',
      'dns-rebinding-protection',
      'input-required-result-unsupported-methods',
      'http-header-validation',
      'resources-list',
      'prompts-list',
      'caching',
      'sep-2164-resource-not-found',
    ],
  ],
  [
    '2025-11-25',
    [
      'server-initialize',
      'ping',
      'tools-list',
      'server-sse-multiple-streams',
      'dns-rebinding-protection',
      'server-session-lifecycle',
      'resources-list',
      'prompts-list',
    ],
  ],
])('%s: whatever is not named as not applying passes', async (revision, applies) => {
  const expected = fileURLToPath(new URL(`does-not-apply-${revision}.yaml`, import.meta.url))
  const ran = await runSuite('server', '--url', lent.url, '--requirements', revision, '--expected-failures', expected)
  expect({ exit: ran.exit, output: ran.exit === 0 ? '' : ran.output }).toEqual({ exit: 0, output: '' })
  expect(applies.filter((scenario) => !passed(ran.checks.get(scenario)))).toEqual([])
})

test('the metadata of the authorization server is whole but for the code flow, which it does not have', async () => {
  const ran = await runSuite(
    ...['authorization', '--url', broker.url, '--scenario', 'authorization-server-metadata-endpoint'],
    ...['--client-id', 'triage-bot', '--resource', `${broker.url}/mcp`, '--spec-version', '2026-07-28'],
  )
  const checks = [...ran.checks.values()].flat()
  expect(checks.map(({ id, status }) => [id, status])).toEqual([
    ['authorization-server-metadata', 'FAILURE'],
    // Client identifiers are names in manifests, and nothing is fetched for them (S21).
    ['authorization-server-metadata-cimd', 'WARNING'],
  ])
  expect(checks[0]?.errorMessage).toBe(
    'Response body does not include valid "response_types_supported" claim, ' +
      'Response body does not include valid "code_challenge_methods_supported" claim',
  )
})
