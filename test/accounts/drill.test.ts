// A fire drill: a canary that is nobody's is made, used, taken away and seen dead; and what it says when that fails.

import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { drillTool, lastDrill } from '../../src/actions/drill-tool.ts'
import { setLock } from '../../src/actions/lock.ts'
import { readStatus } from '../../src/actions/read-status.ts'
import { as } from '../support/harness.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, type Stage } from './stage.ts'

let s: Stage
beforeEach(async () => {
  s = await createStage()
})
afterEach(() => s.close())

/** While everything that comes round does. */
async function drill(of: { tool?: string; scope?: string | null; by?: typeof as.operator; patience?: number } = {}) {
  const { tool = 'desk', scope = null, by = as.operator, patience = Number.POSITIVE_INFINITY } = of
  const stop = new AbortController()
  let over = false
  const drilling = drillTool(s.h.deps, by, { tool, scope, details: {} }, stop.signal).finally(() => {
    over = true
  })
  // Whoever waits for a tool that does not do it goes away in the end. Time passes only once it is asked to take away.
  for (let asked = 0; !over; ) {
    if (s.tool.calls.some((call) => call.startsWith('remove'))) asked++
    if (asked === patience) stop.abort()
    await s.rounds(1, asked > 0 && patience < Number.POSITIVE_INFINITY ? 1 : 0)
    await turn()
  }
  return drilling
}
const records = async (kind: string) => (await s.h.trail()).filter((record) => record.kind === kind)

describe('a drill', () => {
  test('makes a canary with the least right, uses it, and sees it dead: on the trail, and nobody gets its secret (P1, P5)', async () => {
    const drilled = unwrap(await drill())
    expect(drilled).toMatchObject({ tool: 'desk', outcome: 'dead', scope: 'read' })
    expect([drilled.provisionMilliseconds, drilled.firstUseMilliseconds, drilled.deadAfterMilliseconds]).toEqual([
      expect.any(Number),
      expect.any(Number),
      expect.any(Number),
    ])
    expect(s.tool.accounts.get(drilled.name)).toMatchObject({ rights: ['Read'], active: false })
    const { secret } = s.tool.accounts.get(drilled.name)!
    const trail = await s.h.trail()
    expect(JSON.stringify([drilled, trail])).not.toContain(secret)
    expect(trail.map(({ kind }) => kind).filter((kind) => /^(account|tool|credential)\./.test(kind))).toEqual([
      'account.planned',
      'account.created',
      'account.leaving',
      'account.removed',
      'tool.drilled',
    ])
    expect((await records('account.planned'))[0]?.subject).not.toHaveProperty('agent')
    expect(unwrap(await readStatus(s.h.deps, as.admin.caller)).drills).toContainEqual({
      tool: 'desk',
      last: expect.objectContaining({ status: 'dead' }),
      every: null,
      failing: false,
    })
  })

  test('leaves agents and their accounts alone (P2)', async () => {
    const { token } = unwrap(await s.mint())
    unwrap(await drill({ scope: 'comment' }))
    expect(s.tool.works(token)).toBe(true)
  })

  test('of a tool that keeps the secret alive is outstanding, loud, and goes on trying (S15)', async () => {
    s.tool.fault = (op) => (op === 'remove' ? 'error' : null)
    const drilled = unwrap(await drill({ patience: 40 }))
    expect(drilled).toMatchObject({ outcome: 'outstanding', deadAfterMilliseconds: null })
    expect((await records('tool.drilled'))[0]?.body).toMatchObject({ outcome: 'outstanding' })
    expect(await lastDrill(s.h.deps, 'desk')).toMatchObject({ status: 'outstanding' })
    s.tool.fault = () => null
    const after = async () => {
      await s.rounds(1, 20)
      return { active: s.tool.active(), last: await lastDrill(s.h.deps, 'desk') }
    }
    await expect.poll(after).toMatchObject({ active: [], last: { status: 'dead' } })
  })

  test('of a tool that makes no account is refused, and says so on the trail; nothing is left (P9)', async () => {
    s.tool.fault = (op) => (op === 'create' ? 'half' : null)
    expect(await drill()).toMatchObject({ ok: false, error: { code: 'internal' } })
    expect((await records('tool.drilled'))[0]?.body).toMatchObject({ outcome: 'not made' })
    s.tool.fault = () => null
    await s.rounds(12, 20)
    expect(s.tool.active()).toEqual([])
    expect(await lastDrill(s.h.deps, 'desk')).toMatchObject({ status: 'not made' })
  })

  test('whose secret opens nothing is unusable', async () => {
    s.tool.fault = (op) => (op === 'probe' ? 'lie' : null)
    expect(unwrap(await drill())).toMatchObject({ outcome: 'unusable', firstUseMilliseconds: null })
  })

  test('is taken away by the reaper where the broker died in the middle (P9)', async () => {
    s.tool.fault = (op) => (op === 'remove' || op === 'probe' ? 'down' : null)
    unwrap(await drill({ patience: 40 }))
    await s.crash()
    s.tool.fault = () => null
    await s.rounds(6, 20)
    expect(s.tool.active()).toEqual([])
  })

  test('is not for everyone, nor for every tool, and not while it is locked (S7, S12)', async () => {
    expect(await drill({ by: as.auditor })).toMatchObject({ ok: false, error: { code: 'forbidden' } })
    expect(await drill({ tool: 'none' })).toMatchObject({ ok: false, error: { code: 'unknown_tool' } })
    expect(await drill({ scope: 'nothing' })).toMatchObject({ ok: false, error: { code: 'scope_not_in_manifest' } })
    unwrap(
      await setLock(s.h.deps, as.admin, {
        kind: 'tool',
        name: 'desk',
        reason: 'x',
        forSeconds: null,
        revokeGrants: false,
      }),
    )
    expect(await drill()).toMatchObject({ ok: false, error: { code: 'tool_locked' } })
    expect(s.tool.calls).toEqual([])
  })
})
