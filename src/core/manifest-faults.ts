// Collecting what is wrong with a manifest set, and putting it into words. Never echoes more than a short,
// harmless form of what was written: messages go to terminals and logs.

import { didYouMean } from './did-you-mean.ts'
import type { Fault, Source } from './manifest.ts'

/** Faults shown; what is beyond is counted. */
const MAX_FAULTS = 100
const MAX_KEPT = 300
const MAX_SHOWN_CHARACTERS = 80

/** Control characters, line and paragraph separators, bidirectional and invisible formatting: unfit for a reader's eyes. */
export const UNPRINTABLE =
  /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/u

const escaped = (character: string): string => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`

/** Text made safe for a terminal and a log: no control or bidi characters, no line ends, at most 80 characters. */
export const printable = (text: string, maxCharacters: number = MAX_SHOWN_CHARACTERS): string => {
  const short = text.length > maxCharacters ? `${text.slice(0, maxCharacters)}…` : text
  return short
    .toWellFormed()
    .replaceAll(new RegExp(UNPRINTABLE.source, 'gu'), escaped)
    .replaceAll(/[\t\n\r]/g, escaped)
}

/** Any written value in double quotes, printable and short. */
export const quoted = (value: unknown): string => `"${printable(String(value))}"`

/** `a, b or c`; long lists end in `…`. */
export const oneOf = (words: Iterable<string>): string => {
  const all = [...words]
  const shown = all.slice(0, 12).map((word) => printable(word))
  if (all.length > shown.length) return `${shown.join(', ')}, …`
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}`
}

/** `an Agent`, `a Tool`. */
export const withArticle = (noun: string): string => `${/^[aeiou]/i.test(noun) ? 'an' : 'a'} ${noun}`

/** `; did you mean "x"?` where something near is known, else `otherwise`. */
export const suggestion = (word: string, candidates: Iterable<string>, otherwise = ''): string => {
  const meant = didYouMean(word, candidates)
  return meant === null ? otherwise : `; did you mean ${quoted(meant)}?`
}

/** The sentence for everything that is to come. */
export const notYet = (what: string, instead = ''): string => `this version does not have ${what} yet${instead}`

/** Wording is put off until it is known that the fault will be kept: suggestions cost time. */
type Wording = string | (() => string)

export type Faults = {
  readonly add: (source: Source, wording: Wording) => void
  readonly warn: (source: Source, wording: Wording) => void
  readonly count: () => number
  /** Sorted by place, at most `MAX_FAULTS` and then one that says how many more there are. */
  readonly faults: () => Fault[]
  readonly warnings: () => Fault[]
}

const byPlace = (a: Fault, b: Fault): number =>
  a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1

const bounded = (kept: readonly Fault[], total: number, noun: string): Fault[] => {
  const shown = kept.toSorted(byPlace).slice(0, MAX_FAULTS)
  const last = shown.at(-1)
  const more = total - shown.length
  return last && more > 0 ? [...shown, { ...last, message: `and ${more} more ${noun}` }] : shown
}

export const collectFaults = (): Faults => {
  const kept: Fault[] = []
  const warned: Fault[] = []
  let total = 0
  let warnings = 0
  const keep = (into: Fault[], source: Source, wording: Wording) => {
    if (into.length >= MAX_KEPT) return
    // Also here, for all that a message may quote: names of files are as hostile as what is in them.
    const message = printable(typeof wording === 'string' ? wording : wording(), Number.POSITIVE_INFINITY)
    into.push({ file: printable(source.file, 300), line: source.line, column: source.column, message })
  }
  return {
    add: (source, wording) => {
      total++
      keep(kept, source, wording)
    },
    warn: (source, wording) => {
      warnings++
      keep(warned, source, wording)
    },
    count: () => total,
    faults: () => bounded(kept, total, 'faults'),
    warnings: () => bounded(warned, warnings, 'warnings'),
  }
}

/** The one line that every command prints for a fault: `file:line:column message`. */
export const faultLine = (fault: Fault): string => `${fault.file}:${fault.line}:${fault.column} ${fault.message}`
