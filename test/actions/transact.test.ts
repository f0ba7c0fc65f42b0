// What the store refuses, in the words of whoever asked.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { recordOf, transact } from '../../src/actions/transact.ts'
import { ok } from '../../src/core/result.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'

let house: Harness
beforeEach(async () => {
  house = await createHarness()
})
afterEach(() => house.close())

/** Commits one record; `meanwhile` runs between looking and committing. */
const commit = (meanwhile: () => Promise<unknown>) =>
  transact(house.deps, 'normal', async (look) => {
    await meanwhile()
    const started = { version: '0.0.0', node: '24', records: 0 }
    return ok({ value: null, records: [recordOf(as.operator, look.now, 'server.started', {}, started)] })
  })

describe('a change that the log has gone past', () => {
  it('is refused as overloaded where it only waited too long, and leaves nothing behind (P8)', async () => {
    const late = await commit(async () => {
      house.disk.clock.advance(10)
      await commit(async () => {})
    })
    expect(late).toMatchObject({ ok: false, error: { code: 'overloaded', retryable: true, retryAfterSeconds: 1 } })
    expect((await house.trail()).filter(({ kind }) => kind === 'server.started')).toHaveLength(1)
  })

  it('is refused as a clock that went backwards where it did (S18)', async () => {
    await commit(async () => {})
    house.disk.clock.advance(-10)
    expect(await commit(async () => {})).toMatchObject({ ok: false, error: { code: 'stale_view' } })
  })
})
