// What the broker says of the accounts that it ever planned, against the tool's own database: no account there that nobody
// knows of, none twice, and none alive that a receipt calls revoked (P5, P9, S15, S16).

import { expect } from 'vitest'
import { SETTLED, type ToolStage } from './tool-stage.ts'
import { waitUntil } from './wait-until.ts'

export type Told = { readonly planned: number; readonly active: number }

/** At any moment, also while accounts are being made and taken away. `receipts`: of acts of taking away. */
export async function expectTruth(
  { subject, records, receiptOf }: ToolStage,
  receipts: Iterable<string>,
): Promise<Told & { readonly revoked: readonly string[] }> {
  const revoked: string[] = []
  const dead: string[] = []
  for (const id of receipts) {
    const { status, confirmations } = await receiptOf(id)
    if (status !== 'revoked') continue
    revoked.push(id)
    for (const { accounts = [] } of confirmations) dead.push(...accounts.map(({ name }) => name))
  }
  // The tool before the trail: what is active now was planned before, and what is called removed now may have been active.
  const active = await subject.active()
  expect(dead.filter((name) => active.includes(name))).toEqual([])
  const planned = (await records('account.planned')).map(({ subject: of, body }) => ({
    name: String(body.name),
    grant: String(of.grant),
  }))
  const names = planned.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(active.filter((name) => !names.includes(name))).toEqual([])
  const grants = planned.filter(({ name }) => active.includes(name)).map(({ grant }) => grant)
  expect(new Set(grants).size).toBe(grants.length)
  return { planned: planned.length, active: active.length, revoked }
}

/** Once every intent is settled: what is active is what should be, each account is there once, and no more was removed. */
export async function expectSettled(stage: ToolStage, receipts: Iterable<string> = []): Promise<Told> {
  const { metric, records, subject } = stage
  const open = async () =>
    (await metric('hallpass_accounts{state="leaving"}')) + (await metric('hallpass_accounts{state="planned"}'))
  await waitUntil(async () => (await open()) === 0, SETTLED)
  const told = await expectTruth(stage, receipts)
  const active = await subject.active()
  expect(active).toHaveLength(await metric('hallpass_accounts{state="present"}'))
  const removed = (await records('account.removed')).map(({ body }) => body.name)
  expect(active.filter((name) => removed.includes(name))).toEqual([])
  for (const { body } of await records('account.planned'))
    expect(await subject.count(String(body.name))).toBeLessThanOrEqual(1)
  return told
}
