// Durations as manifests write them. Whole numbers with one unit; nothing else is understood.

/** `^\d+[smhd]$`, with digits that cannot overflow. */
export const DURATION = /^\d{1,8}[smhd]$/

const SECONDS_PER: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** Seconds in `90s`, `5m`, `8h`, `90d`; null for anything else. */
export const parseDurationSeconds = (text: string): number | null =>
  DURATION.test(text) ? Number(text.slice(0, -1)) * SECONDS_PER[text.slice(-1)]! : null

/** The shortest way to write that many seconds: `300` is `5m`. */
export const formatDuration = (seconds: number): string => {
  for (const unit of ['d', 'h', 'm'] as const) {
    const size = SECONDS_PER[unit]!
    if (seconds > 0 && seconds % size === 0) return `${seconds / size}${unit}`
  }
  return `${seconds}s`
}
