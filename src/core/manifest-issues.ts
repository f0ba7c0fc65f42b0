// From what a schema refuses to faults in plain words, each with its place and what to do about it.
// What a later version will read is named as such, never called a mistake.

import type { z } from 'zod'
import type { ManifestKind } from './manifest.ts'
import type { Faults } from './manifest-faults.ts'
import { notYet, oneOf, printable, quoted, suggestion, withArticle } from './manifest-faults.ts'
import { FIELD_MEANINGS, MANIFEST_KINDS } from './manifest-schema.ts'
import type { Path, YamlDocument } from './manifest-yaml.ts'
import { fieldOf } from './manifest-yaml.ts'

/** Fields of later versions, by path. */
const LATER_FIELDS: ReadonlySet<string> = new Set([
  'Agent.spec.identity[].issuer',
  'Agent.spec.identity[].match',
  'Agent.spec.identity[].jwksUri',
])

/** Values of later versions, by the last name of the field's path. */
const LATER_VALUES: Readonly<Record<string, readonly string[]>> = {
  approval: ['passkey', 'two-person'],
}

/** A path in a document as its path in the schema: `Tool.spec.scopes{}.risk`. */
const schemaPath = (kind: ManifestKind, path: Path): string => {
  let known: string = kind
  for (const segment of path) {
    if (typeof segment === 'number') known += '[]'
    else known += FIELD_MEANINGS.has(`${known}{}`) ? '{}' : `.${String(segment)}`
  }
  return known
}

/** The names of the fields that belong directly under a schema path. */
const fieldsUnder = (path: string): string[] => {
  const prefix = `${path}.`
  const names = [...FIELD_MEANINGS.keys()].filter((field) => field.startsWith(prefix))
  return [...new Set(names.map((field) => field.slice(prefix.length).split(/[.[{]/)[0]!))]
}

/** `spec.access[]` for `Agent.spec.access[]`; what a person would call the place. */
const within = (path: string): string => path.split('.').slice(1).join('.') || 'the top of the document'

const unknownKey = (kind: ManifestKind, parent: Path, key: string): string => {
  const here = schemaPath(kind, parent)
  if (LATER_FIELDS.has(`${here}.${key}`)) return notYet(quoted(key), ': remove it')
  const siblings = fieldsUnder(here)
  const elsewhere = [...FIELD_MEANINGS.keys()].find((path) => path.startsWith(`${kind}.`) && path.endsWith(`.${key}`))
  if (elsewhere !== undefined) {
    return `${quoted(key)} does not belong here: move it under ${within(elsewhere.slice(0, -key.length - 1))}`
  }
  const tail = here.slice(kind.length)
  const owner = MANIFEST_KINDS.find((other) => other !== kind && FIELD_MEANINGS.has(`${other}${tail}.${key}`))
  if (owner !== undefined)
    return `${quoted(key)} is a field of ${withArticle(owner)}, and this is ${withArticle(kind)}: it takes ${oneOf(siblings)}`
  return `unknown key ${quoted(key)} in ${within(here)}${suggestion(key, siblings, `; it takes ${oneOf(siblings)}`)}`
}

/** The value that a document has at a path; undefined where there is none. */
export const valueAt = (value: unknown, path: Path): unknown => {
  let current = value
  for (const segment of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, segment)) return undefined
    current = Reflect.get(current, segment)
  }
  return current
}

const EXPECTED: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  string: 'a string',
}

const wrongType = (kind: ManifestKind, path: Path, expected: string, value: unknown): string => {
  const meaning = FIELD_MEANINGS.get(schemaPath(kind, path))
  if (value === undefined) return `${fieldOf(path)} is missing${meaning ? ` (${meaning})` : ''}`
  const shown = typeof value === 'string' ? `: write [${printable(value)}]` : ''
  const found = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'a mapping' : 'a single value'
  const what = EXPECTED[expected] ?? expected
  return `${fieldOf(path)} must be ${what}, and is ${found}${expected === 'array' ? shown : ''}`
}

const wrongValue = (path: Path, allowed: readonly unknown[], value: unknown): string => {
  const words = allowed.map(String)
  const later = LATER_VALUES[String(path.at(-1))] ?? []
  if (value === undefined) return `${fieldOf(path)} is missing: it takes ${oneOf(words)}`
  if (typeof value !== 'string') return `${fieldOf(path)} must be ${oneOf(words)}`
  if (later.includes(value)) {
    return notYet(`${String(path.at(-1))}: ${value}`, `: ${words.length === 1 ? 'use' : 'it takes'} ${oneOf(words)}`)
  }
  const otherwise = `: ${words.length === 1 ? 'this version reads' : 'it takes'} ${oneOf(words)}`
  return `${fieldOf(path)} is ${quoted(value)}${suggestion(value, words, otherwise)}`
}

/** Adds one fault for each thing a schema found, except where the document was found faulty before. */
export const addIssues = (
  kind: ManifestKind,
  document: YamlDocument,
  issues: readonly z.core.$ZodIssue[],
  faults: Faults,
): void => {
  for (const issue of issues) {
    const { path } = issue
    if (document.faulty(path)) continue
    const value = valueAt(document.value, path)
    switch (issue.code) {
      case 'unrecognized_keys':
        for (const key of issue.keys) {
          faults.add(document.keyPlace([...path, key]), () => unknownKey(kind, path, key))
        }
        break
      case 'invalid_type':
        faults.add(document.place(path), () => wrongType(kind, path, issue.expected, value))
        break
      case 'invalid_value':
        faults.add(document.place(path), () => wrongValue(path, issue.values, value))
        break
      case 'invalid_key':
        faults.add(document.keyPlace(path), () => `${fieldOf(path)} ${issue.issues[0]?.message ?? 'is not a name'}`)
        break
      default:
        faults.add(document.place(path), () =>
          typeof value === 'string' && value !== ''
            ? `${fieldOf(path)} ${issue.message}, and is ${quoted(value)}`
            : `${fieldOf(path)} ${issue.message}`,
        )
    }
  }
}
