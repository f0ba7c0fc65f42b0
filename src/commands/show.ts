// Answers of the API as lines for a person. Every text goes through safeText here, so that no caller has to remember (S20).

import { safeText } from '../core/safe-text.ts'

/** An object of an API's answer; empty where it is none. */
export const objectOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

export const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0)

/** Any value on one line. Times lose their milliseconds, an empty value is `-`. */
export function show(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(show).join(', ')
  if (typeof value === 'object') {
    const parts = Object.entries(value).map(
      ([key, inner]) => `${safeText(key)}=${Array.isArray(inner) ? inner.map(show).join('|') : show(inner)}`,
    )
    return parts.length === 0 ? '-' : parts.join(' ')
  }
  return safeText(String(value)).replace(/^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\.\d{3}Z$/, '$1Z') || '-'
}

/** The text under a dotted path, made safe. */
export const at = (row: unknown, path: string): string =>
  show(path.split('.').reduce<unknown>((value, key) => objectOf(value)[key], row))

/** Columns are dotted paths, or a heading and what to show under it. */
type Column = string | readonly [heading: string, of: (row: unknown) => string]

export function table(rows: readonly unknown[], columns: readonly Column[], whenEmpty: string): string[] {
  if (rows.length === 0) return [whenEmpty]
  const headings = columns.map((column) => (typeof column === 'string' ? column : column[0]).toUpperCase())
  const cells = rows.map((row) =>
    columns.map((column) => (typeof column === 'string' ? at(row, column) : column[1](row))),
  )
  const widths = headings.map((heading, index) => Math.max(heading.length, ...cells.map((line) => line[index]!.length)))
  return [headings, ...cells].map((line) =>
    line
      .map((cell, index) => cell.padEnd(widths[index]!))
      .join('  ')
      .trimEnd(),
  )
}

/** `name  value`, a line each; what is absent is left out. */
export function fields(entries: readonly (readonly [name: string, value: unknown])[]): string[] {
  const there = entries.filter(([, value]) => value !== undefined && value !== null && show(value) !== '-')
  const width = Math.max(0, ...there.map(([name]) => name.length))
  return there.map(([name, value]) => `${name.padEnd(width)}  ${show(value)}`)
}

/** All of an object's plain values; for kinds of things whose members are many. */
export const allFields = (value: unknown): string[] => fields(Object.entries(objectOf(value)))

/** A text of several lines (a diff, a patch) with its indentation kept. */
export const indented = (text: string, by = '  '): string[] =>
  text.split('\n').map((line) => `${by}${/^ */.exec(line)![0]}${safeText(line)}`)

/** A receipt of something taken away, as its reader needs it. */
export function receiptLines(value: unknown): string[] {
  const receipt = objectOf(value)
  const counts = Object.entries(objectOf(receipt.counts))
    .filter(([, count]) => numberOf(count) > 0)
    .map(([what, count]) => `${numberOf(count)} ${numberOf(count) === 1 ? what.replace(/s$/, '') : what}`)
  return [
    ...fields([
      ['receipt', receipt.id],
      ['act', receipt.act],
      ['target', receipt.target],
      ['by', receipt.by],
      ['reason', receipt.reason],
      ['at', receipt.at],
      ['status', receipt.status],
      ['took', counts.length === 0 ? 'nothing that was alive' : counts],
      [
        'complete',
        receipt.completedAt === undefined
          ? undefined
          : `${show(receipt.completedAt)} after ${show(receipt.afterMilliseconds)} ms`,
      ],
    ]),
    ...listOf(receipt.confirmations).flatMap((each) => {
      const { tool, status, how, afterMilliseconds, deadBy, dueBy, credentials, accounts } = objectOf(each)
      const what = `${show(credentials)} ${credentials === 1 ? 'credential' : 'credentials'}`
      // Nothing about an account is dead by itself: the tool has to say so.
      const end = accounts === undefined ? `dead by ${show(deadBy)} at the latest` : 'until the tool shows it dead'
      return [
        how === undefined
          ? `  ${show(tool)}: ${what}, ${show(status)}; ${end}; due by ${show(dueBy)}`
          : `  ${show(tool)}: ${what}, ${show(status)} after ${show(afterMilliseconds)} ms (${show(how)})`,
        ...listOf(accounts).map(accountLine),
      ]
    }),
  ]
}

function accountLine(value: unknown): string {
  const { name, status, removedAfterMilliseconds, readBackAfterMilliseconds, ...more } = objectOf(value)
  const { probedDeadAfterMilliseconds: probed, lastFailure } = more
  if (status !== 'gone')
    return `    account ${show(name)}: still there${lastFailure === undefined ? '' : ` (${show(lastFailure)})`}`
  const steps = [
    `removed ${show(removedAfterMilliseconds)} ms`,
    `read back ${show(readBackAfterMilliseconds)} ms`,
    typeof probed === 'number' ? `probed dead ${show(probed)} ms` : 'no secret to probe',
  ]
  return `    account ${show(name)}: ${steps.join(', ')}`
}

/** One need as words: `an owner of tool tickets: a@example.com or b@example.com`. */
export function needLine(value: unknown): string {
  const { as, of, eligible } = objectOf(value)
  if (as === 'admin') return `an admin (tool ${show(of)})`
  const who = `${as === 'member of team' ? 'a' : 'an'} ${show(as)} ${show(of)}`
  return listOf(eligible).length === 0 ? who : `${who}: ${listOf(eligible).map(show).join(' or ')}`
}

/** Lines of a readable diff; a condition below its scope stays below it. */
export const diffLines = (lines: unknown): string[] =>
  listOf(lines).map((line) => `    ${textOf(line).startsWith('  ') ? '  ' : ''}${show(line)}`)

export function wideningLines(value: unknown): string[] {
  const { slice, id, status, diff, needs } = objectOf(value)
  const open =
    status === undefined || status === 'waiting'
      ? listOf(needs).filter((need) => objectOf(need).givenBy === undefined)
      : []
  return [
    `  ${[slice, id, status]
      .filter((part) => part !== undefined)
      .map(show)
      .join('  ')}`,
    ...diffLines(diff),
    ...open.map((need) => `    waits for ${needLine(need)}`),
  ]
}
