// Takes each step in the broker (its actions over a real store) and in the reference model. What the broker says yes to, the
// model must justify; a no is always allowed. After each step everything that was ever held is tried again.

import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { createHarness } from '../support/harness.ts'
import { approving, asking, ending, opening } from './asking.ts'
import { documentId, ownersOf } from './authority-model.ts'
import { Died, dying } from './dying-store.ts'
import { lookAtAll, lookAtTrail } from './look-at-all.ts'
import { minting } from './minting.ts'
import { settling, waitingSlice, writing } from './sources.ts'
import { firstDocuments, PEOPLE, PRELUDE, type Step, setFrom, WHOEVER_GAINED, WHOEVER_MAY } from './steps.ts'
import { decommissioning, lifting, locking, releasing, revoking } from './taking.ts'
import { type Counts, createWorld, type Doing, nth, type World } from './world.ts'

export async function drive(steps: readonly Step[], counts: Counts): Promise<void> {
  const harness = await createHarness()
  try {
    const documents = new Map(firstDocuments().map((document) => [documentId(document), document]))
    await harness.start(setFrom(documents))
    const world = createWorld(harness, documents, counts)
    for (const step of [...PRELUDE, ...steps]) await take(world, step)
    await lookAtTrail(world)
  } finally {
    await harness.close()
  }
}

async function take(world: World, step: Step): Promise<void> {
  const { harness, clock, counts } = world
  counts.steps++
  const doing = await doingOf(world, 'who' in step ? { ...step, who: whoeverMay(world, step) } : step)
  if (doing !== null) {
    const now = clock.now()
    const { deps, fate } = dying(harness.deps, step.crash ?? null)
    const done = await doing.run(deps).then(
      ({ ok }) => ok,
      (thrown) => {
        if (!(thrown instanceof Died)) throw thrown
        return fate.committed > 0
      },
    )
    if (fate.died) {
      counts.crashes++
      await world.reopen()
    }
    if (done) {
      counts.done++
      await doing.done(now)
    }
  }
  await lookAtAll(world)
}

/** Somebody who may, by the model; an admin where nobody is found. */
function whoeverMay(world: World, step: Step): string {
  const { model, pending } = world
  if (!('who' in step)) return ''
  if (step.who === WHOEVER_GAINED) return model.gained() ?? PEOPLE[3]
  if (step.who !== WHOEVER_MAY) return step.who
  const owner = (agent: string | undefined) => ownersOf(model.parts, `agent/${agent}`)[0] ?? 'admin'
  if (step.do === 'settle') {
    const slice = waitingSlice(world, step)
    const waits = slice === undefined ? [...model.waiting.values()] : [model.waiting.get(slice)]
    const need = waits.flatMap((one) => one?.needs ?? []).find(({ givenBy }) => givenBy === null)
    return need === undefined || need.eligible === 'admin' ? 'admin' : (need.eligible[0] ?? 'admin')
  }
  if (step.do === 'approve' || step.do === 'deny') return owner(nth(pending(), step.request)?.agent)
  return 'admin'
}

async function doingOf(world: World, step: Step): Promise<Doing | null> {
  switch (step.do) {
    case 'clock':
      world.clock.advance(step.seconds)
      return null
    case 'reopen':
      await world.reopen()
      return null
    case 'reconcile':
      await reconcileTargets(world.harness.deps, new Set())
      return null
    case 'edit':
    case 'widen':
    case 'remove':
    case 'restore':
      return writing(world, step)
    case 'settle':
      return settling(world, step)
    case 'open':
      return opening(world, step)
    case 'ask':
    case 'ask anything':
      return asking(world, step)
    case 'approve':
      return approving(world, step)
    case 'deny':
    case 'withdraw':
      return ending(world, step)
    case 'mint':
      return minting(world, step)
    case 'release':
      return releasing(world, step)
    case 'lock':
      return locking(world, step)
    case 'lift':
      return lifting(world, step)
    case 'revoke':
      return revoking(world, step)
    case 'decommission':
      return decommissioning(world, step)
  }
}
