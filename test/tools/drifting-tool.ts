// Somebody changes accounts in a tool by hand, or puts an old copy of the broker's store back: the broker that runs finds it
// by itself within one cycle, and says so on the trail, in metrics and in its status (P9, P10).

import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Drift } from '../../src/core/drift.ts'
import { expectDone } from './people-and-agents.ts'
import { accessTo, SOON, type ToolStage } from './tool-stage.ts'
import { waitUntil } from './wait-until.ts'

/** How often the broker under test looks through its tools; what it healed is to be seen until the next time. Milliseconds. */
const CYCLE = { reconcileMs: 3_000 }

const looks = z.object({ at: z.string(), findings: z.array(z.looseObject({ finding: z.string(), name: z.string() })) })
const tools = z.object({ items: z.array(z.object({ name: z.string(), reconciled: looks.optional() })) })

export const DRIFT_AGENTS: Readonly<Record<string, string>> = {
  'drift-bot': accessTo('desk', ['desk:first', 'desk:second'], 'approval: none'),
}

export function describeDrift(opened: () => ToolStage): void {
  describe('behind its back', () => {
    beforeAll(async () => {
      await opened().broker.stop()
      await opened().start(CYCLE)
    })
    afterAll(async () => {
      await opened().broker.stop()
      await opened().start()
    })

    const onTrail = async (finding: Drift, name: string) =>
      (await opened().records('tool.drift')).find(
        ({ body }) => body.finding === finding && JSON.stringify(body).includes(name),
      )

    /** By the schedule alone, in the first look that began after the change; answers what was done about it. */
    async function expectFound(finding: Drift, name: string): Promise<unknown> {
      const { asAdmin, metric } = opened()
      const began = new Set<string>()
      let isInMetrics = false
      let isInStatus = false
      const found = await waitUntil(async () => {
        const { items } = tools.parse(await expectDone(asAdmin('/tools')))
        for (const { name: tool, reconciled } of items) if (tool === 'desk' && reconciled) began.add(reconciled.at)
        const findings = items.flatMap(({ reconciled }) => reconciled?.findings ?? [])
        const seen = findings.find((one) => one.finding === finding && one.name === name)
        if (seen === undefined) return null
        isInMetrics = (await metric(`hallpass_tool_drift{finding="${finding}"}`)) > 0
        isInStatus = JSON.stringify(await expectDone(asAdmin('/status'))).includes(name)
        return seen
      }, SOON)
      expect({ isInMetrics, isInStatus }).toEqual({ isInMetrics: true, isInStatus: true })
      // The last one before the change, one that may have been under way, and the one that found it.
      expect(began.size).toBeLessThanOrEqual(3)
      const record = await waitUntil(() => onTrail(finding, name), SOON)
      expect(record.body.did).toBe(found.did)
      return found.did
    }

    test('an account added by hand is reported and left alone, and the command says the same (P10)', async () => {
      const { subject, broker, asAdmin } = opened()
      await subject.addByHand('mallory')
      expect(await expectFound('other', 'mallory')).toBe('reported')
      expect(await subject.count('mallory')).toBe(1)
      const { findings } = looks.parse(await expectDone(asAdmin('/tools/desk/reconcile', {})))
      expect(findings).toContainEqual(expect.objectContaining({ finding: 'other', name: 'mallory', did: 'reported' }))
      // Its exit code says that something is amiss.
      expect(await broker.hallpassReading('', 'status')).toContain('mallory')
      expect(await broker.hallpass('tool', 'list')).toMatch(/desk/)
    })

    test('an account widened by hand is brought back to its rights, and keeps working (P10)', async () => {
      const { subject, hold } = opened()
      const held = await hold('drift-bot')
      await subject.widenByHand(held.name)
      expect(await expectFound('over-scoped', held.name)).toBe('healed')
      expect(await subject.inDatabase(held.name)).toEqual([subject.rights[0]])
      expect(await subject.first(held.secret)).toBe(true)
    })

    test('an account that was taken away and let in again by hand is removed (P5, P10)', async () => {
      const { subject, hold, confirmed, asAdmin } = opened()
      const held = await hold('drift-bot', 'desk:second')
      await confirmed(await expectDone(asAdmin(`/grants/${held.grant}/revoke`, {})))
      await subject.unlockByHand(held.name)
      expect(await expectFound('unlocked', held.name)).toBe('removed')
      expect(await subject.inDatabase(held.name)).toBeNull()
      expect(await subject.second(held.secret)).toBe(false)
    })

    test('a ghost, whose row was lost with a backup that was put back, is removed (P9, P10)', async () => {
      const { subject, hold, broker, data, start, namesOf } = opened()
      const backup = `${data}-of-before`
      await broker.stop()
      execFileSync('cp', ['-a', data, backup])
      await start(CYCLE)
      const held = await hold('drift-bot', 'desk:second')
      expect(await subject.second(held.secret)).toBe(true)
      await broker.kill()
      rmSync(data, { recursive: true })
      execFileSync('cp', ['-a', backup, data])
      await start(CYCLE)
      expect(await namesOf(held.grant)).toEqual([])
      expect(await expectFound('ghost', held.name)).toBe('removed')
      expect(await subject.inDatabase(held.name)).toBeNull()
      expect(await subject.second(held.secret)).toBe(false)
    })
  })
}
