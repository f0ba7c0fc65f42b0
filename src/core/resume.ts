// A document that is back identical within ten minutes resumes its slices (S3): what a slice rests on, and whether all
// of it is as it was. It judges documents only; what is resumed still meets what is proposed.

import { canonicalJson } from './canonical.ts'
import type { Authority } from './compile-slices.ts'
import { LIFETIME } from './limits.ts'
import type { Instant, Slice } from './model.ts'
import { type SliceValue, sliceId } from './slice.ts'

/** `Kind/name` → digest of the document. */
export type Documents = Readonly<Record<string, string>>

/** The documents that a value in force was compiled from: without any one of them it is less, or gone. */
function restsOn(value: SliceValue, inForce: Authority): readonly string[] {
  switch (value.of) {
    case 'agent':
      return [`Agent/${value.name}`, ...teamsOf(value.owners)]
    case 'tool':
      return [`Tool/${value.name}`, ...teamsOf(value.owners)]
    case 'team':
      return [`Team/${value.name}`]
    case 'access': {
      const agent = inForce.get(sliceId.agent(value.agent))
      const roles = agent?.of === 'agent' ? agent.roles : value.entitlements.flatMap(({ role }) => role ?? [])
      return [`Agent/${value.agent}`, `Tool/${value.tool}`, ...roles.map((role) => `Role/${role}`)]
    }
  }
}

const teamsOf = (owners: readonly string[]) =>
  owners.flatMap((owner) => (owner.startsWith('team/') ? [`Team/${owner.slice('team/'.length)}`] : []))

type Resumable = NonNullable<Slice['resumable']>

/** What to keep of `value`, which this edit makes less: null unless a document that it rests on went away. */
export function resumableOf(
  value: SliceValue,
  inForce: Authority,
  before: Documents,
  after: Documents,
  now: Instant,
): Resumable | null {
  const documents = restsOn(value, inForce).filter((name) => Object.hasOwn(before, name))
  const isGone = documents.some((name) => !Object.hasOwn(after, name))
  const isEdited = documents.some((name) => Object.hasOwn(after, name) && after[name] !== before[name])
  if (!isGone || isEdited) return null
  const document = canonicalJson(Object.fromEntries(documents.map((name) => [name, before[name]!])))
  return { document, value, until: now + LIFETIME.resume * 1000 }
}

/** `back`: all is as it was. `waiting`: something is still missing. `over`: too late, or something came back different. */
export function resumption(resumable: Resumable, after: Documents, now: Instant): 'back' | 'waiting' | 'over' {
  if (now >= resumable.until) return 'over'
  const documents = Object.entries(JSON.parse(resumable.document) as Documents)
  if (documents.some(([name, digest]) => Object.hasOwn(after, name) && after[name] !== digest)) return 'over'
  return documents.every(([name]) => Object.hasOwn(after, name)) ? 'back' : 'waiting'
}
