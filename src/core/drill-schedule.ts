// When the next drill of a tool is due, from those that it had. Pure: what is stored decides, so a restart changes nothing,
// and it never asks for a second canary while one may be alive.

import { DRILL } from './limits.ts'
import { RISKS, type ToolManifest } from './manifest.ts'
import type { Account, Instant } from './model.ts'

/** Why a canary was taken away, on its row and on the trail: how a drill went, told by what is stored. */
export const DRILL_OVER = { well: 'drill over', unusable: 'drill over, its secret opened nothing' } as const

/** What a tool's latest canary says; `unusable`: made and taken away, and its secret opened nothing. */
export const DRILL_STATUSES = ['dead', 'not made', 'unusable', 'outstanding'] as const
export type DrillStatus = (typeof DRILL_STATUSES)[number]

export function drillStatus({ state, because }: Pick<Account, 'state' | 'because'>): DrillStatus {
  if (state !== 'gone') return 'outstanding'
  if (because === DRILL_OVER.unusable) return 'unusable'
  return because === DRILL_OVER.well ? 'dead' : 'not made'
}

/** Milliseconds from taking a canary away to its being seen dead; null where it was not. */
export function deadAfter({ state, probedAt, readBackAt, leavingSince }: Canary): number | null {
  const deadAt = probedAt ?? readBackAt
  return state !== 'gone' || deadAt === null || leavingSince === null ? null : Math.max(0, deadAt - leavingSince)
}

export type Canary = Pick<Account, 'state' | 'because' | 'createdAt' | 'probedAt' | 'readBackAt' | 'leavingSince'>

/** Whether a drill ended as it should: dead, and within the time that one may take (milliseconds). */
export const wentWell = (canary: Canary, goneMs: number): boolean =>
  drillStatus(canary) === 'dead' && (deadAfter(canary) ?? 0) <= goneMs

/** The pause after so many drills that failed in a row, at least one (milliseconds). */
export const drillPause = (failures: number, everyMs: number): number =>
  Math.min(everyMs, DRILL.retryMsMax, DRILL.retryMs * 2 ** (failures - 1))

/**
 * The instant from which the next is due, of a tool's canaries, newest first; at once where there was none. Null: not while
 * the latest may be alive.
 */
export function nextDrillAt(canaries: readonly Canary[], everyMs: number, goneMs: number): Instant | null {
  const [last] = canaries
  if (last === undefined) return Number.NEGATIVE_INFINITY
  if (last.state !== 'gone') return null
  const firstWell = canaries.findIndex((canary) => wentWell(canary, goneMs))
  const failures = firstWell === -1 ? canaries.length : firstWell
  return last.createdAt + (failures === 0 ? everyMs : drillPause(failures, everyMs))
}

/** The scope that a canary has where none is named; the first by name of those of one risk. */
export const lowestRisk = (scopes: Readonly<Record<string, Pick<ToolManifest['scopes'][string], 'risk'>>>): string =>
  Object.entries(scopes).sort(
    ([a, one], [b, other]) => RISKS.indexOf(one.risk) - RISKS.indexOf(other.risk) || (a < b ? -1 : 1),
  )[0]?.[0] ?? ''
