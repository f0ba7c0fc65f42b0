// One whole edit, judged: a manifest set against every slice in force. What resumes, what is barred, what is in force
// at once, what waits, and the slice rows as they will be. It writes nothing and asks nobody.

import { isDeepStrictEqual } from 'node:util'
import { type AuthorityDiff, diffSets } from './authority.ts'
import { digest, type Json } from './canonical.ts'
import { type Authority, compileSlices, valueDigest } from './compile-slices.ts'
import { confusableSkeleton } from './confusable.ts'
import type { Fault, ManifestSet } from './manifest.ts'
import type { Agent, Instant, Remembered, Slice } from './model.ts'
import { type Documents, resumableOf, resumption } from './resume.ts'
import type { SliceValue } from './slice.ts'

/** All that an edit is judged against. */
export type Standing = {
  readonly now: Instant
  readonly slices: ReadonlyMap<string, Slice>
  readonly remembered: Remembered
  /** Agents that were taken out of use for ever, and are being. */
  readonly ended: readonly Agent[]
}

export type JudgedEdit = AuthorityDiff & {
  /** Before the edit; what resumes counts as in force. */
  readonly inForce: Authority
  /** Slice rows that change, in any way. */
  readonly changed: readonly Slice[]
  readonly remembers: Remembered
  /** Names that may not be used (S4): any of them refuses the whole edit. */
  readonly barred: readonly Fault[]
  /** Documents of ended agents that nobody touched: they grant nothing and change nothing. */
  readonly ignored: readonly Fault[]
}

export const NOTHING_REMEMBERED: Remembered = { documents: {}, roles: [], scopes: {}, details: {} }

export function judgeEdit(set: ManifestSet, standing: Standing): JudgedEdit {
  const { now, slices, remembered, ended } = standing
  const { barred, ignored } = namesUsed(set, ended, remembered.documents)
  const documents: Documents = Object.fromEntries(set.documentDigests)
  const isEnded = ofAgents(new Set(ended.map(({ id }) => id)))
  const proposed = new Map([...compileSlices(set)].filter(([, value]) => !isEnded(value)))
  const inForce = new Map<string, SliceValue | null>()
  const resumable: SliceValue[] = []
  for (const [id, slice] of slices) {
    if (isEnded(slice.value)) continue
    const comesBack = slice.resumable === null ? 'over' : resumption(slice.resumable, documents, now)
    if (comesBack === 'waiting') resumable.push(slice.resumable!.value)
    inForce.set(id, comesBack === 'back' ? slice.resumable!.value : slice.value)
  }
  const diff = diffSets(inForce, proposed, resumable)
  const changed: Slice[] = []
  for (const [id, value] of diff.next) {
    const before = slices.get(id)
    if (before === undefined && value === null) continue
    if (before !== undefined && isUntouched(before, value)) continue
    const next = { id, value, digest: valueDigest(value), resumable: keptOf(id, value, before, documents) }
    if (before === undefined || !isSame(before, next)) changed.push(next)
  }
  return { ...diff, inForce, changed, remembers: remember(), barred, ignored }

  function keptOf(
    id: string,
    value: SliceValue | null,
    before: Slice | undefined,
    after: Documents,
  ): Slice['resumable'] {
    if (before?.resumable && resumption(before.resumable, after, now) === 'waiting') return before.resumable
    const was = inForce.get(id) ?? null
    if (was === null || valueDigest(was) === valueDigest(value)) return null
    return resumableOf(was, inForce, remembered.documents, after, now)
  }

  function remember(): Remembered {
    const tools = [...inForce.values(), ...diff.next.values()].filter((value) => value?.of === 'tool')
    const grown = (had: Remembered['scopes'], of: (tool: (typeof tools)[number]) => object) => {
      const all = new Map(Object.entries(had).map(([tool, names]) => [tool, new Set(names)]))
      for (const tool of tools) {
        const names = all.get(tool.name) ?? new Set()
        for (const name of Object.keys(of(tool))) names.add(name)
        all.set(tool.name, names)
      }
      return Object.fromEntries([...all].map(([tool, names]) => [tool, [...names].sort()]))
    }
    return {
      documents,
      roles: [...new Set([...remembered.roles, ...set.roles.keys()])].sort(),
      scopes: grown(remembered.scopes, (tool) => tool.scopes),
      details: grown(remembered.details, (tool) => tool.details),
    }
  }
}

const ofAgents = (names: ReadonlySet<string>) => (value: SliceValue | null) =>
  (value?.of === 'agent' && names.has(value.name)) || (value?.of === 'access' && names.has(value.agent))

/** A row that stays as it is, without a look at its digests: the same value in force, and nothing that could resume. */
const isUntouched = (before: Slice, value: SliceValue | null) =>
  before.resumable === null && (before.value === value || isDeepStrictEqual(before.value, value))

/** Equal in everything, also in what is no authority. */
const isSame = (a: Slice, b: Slice) => digest(plain(a)) === digest(plain(b))
const plain = (slice: Slice): Json => JSON.parse(JSON.stringify(slice))

function namesUsed(set: ManifestSet, ended: readonly Agent[], before: Documents) {
  const barred: Fault[] = []
  const ignored: Fault[] = []
  const byName = new Map(ended.map((agent) => [agent.id, agent]))
  const bySkeleton = new Map(ended.map((agent) => [agent.skeleton, agent]))
  for (const { name, state, source } of set.agents.values()) {
    const document = `Agent/${name}`
    if (byName.has(name)) {
      if (state === 'decommissioned') continue
      const message = `agent "${name}" is decommissioned for ever: its name is not used again`
      const isUntouched = Object.hasOwn(before, document) && before[document] === set.documentDigests.get(document)
      if (isUntouched) ignored.push({ ...source, message: `${message}; this document grants nothing, delete it` })
      else barred.push({ ...source, message: `${message}; choose another` })
      continue
    }
    const other = bySkeleton.get(confusableSkeleton(name))
    if (other !== undefined && !Object.hasOwn(before, document))
      barred.push({
        ...source,
        message: `agent "${name}" looks like "${other.id}", which is decommissioned: choose another name`,
      })
  }
  return { barred, ignored }
}
