// The conformance suite against our own mount, with the fixtures that its scenarios call beside our tools: every scored
// scenario passes.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Served, serveMcp } from '../mcp/support.ts'
import { extendWithFixtures } from './extend-with-fixtures.ts'
import { lendToken } from './lend-a-token.ts'
import { type Ran, runSuite, scoredScenarios } from './run-suite.ts'

/** Our prompts never change, and nothing says that they do. */
const DOES_NOT_APPLY = new Set(['sep-2575-server-sends-prompts-list-changed-on-subscription'])

/** The suite calls as fast as it can. */
const BUSY = { capacity: 100_000, refillPerSecond: 10_000, maxKeys: 10 }

describe.each([
  ['2026-07-28', 37],
  ['2025-11-25', 30],
] as const)('%s', (revision, scored) => {
  let served: Served
  let lent: Awaited<ReturnType<typeof lendToken>>
  let ran: Ran
  beforeAll(async () => {
    served = await serveMcp(
      { call: BUSY },
      extendWithFixtures({
        test_trigger_tool_change: (agent) => served.mcp.tell(agent, { tools: true, resources: false, updated: [] }),
      }),
    )
    const { token } = await served.session('triage-bot')
    lent = await lendToken(served.url, () => token)
    ran = await runSuite('server', '--url', lent.url, '--requirements', revision)
  })
  afterAll(async () => {
    await lent.close()
    await served.close()
  })

  const scenarios = scoredScenarios(revision)
  test('counts as many scenarios as the revision requires', () => {
    expect(scenarios).toHaveLength(scored)
    expect({ exit: ran.exit, output: ran.exit === 0 ? '' : ran.output }).toEqual({ exit: 0, output: '' })
  })
  test.each(scenarios)('%s', (scenario) => {
    const checks = ran.checks.get(scenario)
    expect(checks?.length ?? 0).toBeGreaterThan(0)
    const open = checks?.filter(
      ({ id, status }) => !['SUCCESS', 'INFO'].includes(status) && !(status === 'SKIPPED' && DOES_NOT_APPLY.has(id)),
    )
    expect(open).toEqual([])
  })
})
