// Steps that write the manifests and settle what their edits wait for.

import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { Manifest } from '../../src/core/manifest.ts'
import type { Widening } from '../../src/core/model.ts'
import { as } from '../support/harness.ts'
import { setOf } from '../support/manifest-set.ts'
import { documentId } from './authority-model.ts'
import { type Step, widened } from './steps.ts'
import { contextOf, type Doing, must, nth, type World } from './world.ts'

export function writing(
  world: World,
  step: Extract<Step, { do: 'edit' | 'widen' | 'remove' | 'restore' }>,
): Doing | null {
  const { documents, history } = world.sources
  switch (step.do) {
    case 'edit': {
      const was = documents.get(documentId(step.document))
      return applying(
        world,
        new Map(documents).set(
          documentId(step.document),
          was === undefined ? step.document : someFields(was, step.document, step.fields),
        ),
      )
    }
    case 'widen': {
      const was = nth([...documents.values()], step.pick)
      if (was === undefined) return null
      return applying(world, new Map(documents).set(documentId(was), widened(was, step.person, step.entry)))
    }
    case 'remove': {
      const next = new Map(documents)
      next.delete(nth([...documents.keys()], step.pick) ?? '')
      return applying(world, next)
    }
    case 'restore': {
      const back = nth(history.toReversed(), step.pick)
      return back === undefined ? null : applying(world, new Map(documents).set(documentId(back), back))
    }
  }
}

function applying({ model, sources }: World, next: Map<string, Manifest>): Doing {
  const set = setOf(...next.values())
  return {
    run: (deps) => applyManifests(deps, as.watcher, { set, base: null }),
    done(now) {
      const { documents } = sources
      sources.history.push(
        ...[...next].filter(([id, document]) => documents.get(id) !== document).map(([, document]) => document),
      )
      sources.documents = next
      if (set.digest !== model.set.digest) model.edit(set, now)
    },
  }
}

export async function settling(world: World, step: Extract<Step, { do: 'settle' }>): Promise<Doing | null> {
  const { model, counts, rows } = world
  const before = new Map((await rows('widening')).map((row) => [row.id, row]))
  const waiting = [...before.values()].filter(({ state }) => state === 'waiting')
  const slice = waitingSlice(world, step)
  const one = slice === undefined ? undefined : waiting.find((widening) => widening.slice === slice)
  const id = one?.id ?? waiting[0]?.revision
  if (id === undefined) return null
  const decision = step.yes ? 'accept' : 'decline'
  return {
    run: (deps) => settleRevision(deps, contextOf(step.who), { id, decision, reason: null }),
    async done(now) {
      const changed = (await rows('widening')).filter((row) => isTouched(row, before.get(row.id)))
      if (!step.yes) for (const { slice } of changed) model.decline(slice)
      const given = changed.filter(({ state }) => state !== 'void' && state !== 'declined')
      if (!step.yes || given.length === 0) return
      const wrong = model.accept(
        given.map(({ slice, state }) => ({ id: slice, accepted: state === 'accepted' })),
        step.who,
        now,
      )
      must(wrong === null, `${step.who} accepted ${given.map(({ slice }) => slice)}: ${wrong}`)
      counts.accepted += given.length
    },
  }
}

/** What one settles alone; undefined is all that they may of the revision. */
export function waitingSlice({ model }: World, { one }: Extract<Step, { do: 'settle' }>): string | undefined {
  const open = [...model.waiting].flatMap(([id, { declined }]) => (declined ? [] : [id]))
  if (one === null) return undefined
  return one === 'people' ? open.find((id) => !id.startsWith('access/')) : nth(open, one)
}

const isTouched = (row: Widening, before: Widening | undefined) =>
  before !== undefined && (row.state !== before.state || row.given.length !== before.given.length)

/** The document with some fields of another of its kind, or all of them. */
function someFields(was: Manifest, other: Manifest, picks: readonly number[]): Manifest {
  const names = Object.keys(other).filter(
    (field) => !['kind', 'name', 'labels', 'source', 'purpose', 'category', 'target'].includes(field),
  )
  if (picks.every((pick) => pick >= names.length)) return other
  const fields = picks.flatMap((pick) => names[pick] ?? [])
  return { ...was, ...Object.fromEntries(Object.entries(other).filter(([name]) => fields.includes(name))) }
}
