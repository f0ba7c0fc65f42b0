// What comes back from a link outlives a restart, and so does that it was used (P9, S18).

import { afterEach, beforeEach, expect, test } from 'vitest'
import { askFor } from '../../src/actions/request-access.ts'
import { newShowing, takeAnswer } from '../../src/actions/show-link.ts'
import { createHarness, type Harness } from '../support/harness.ts'
import { agent, entry, setOf, tool } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'

let h: Harness
beforeEach(async () => {
  h = await createHarness()
  await h.start(setOf(tool('tickets'), agent('bot', { access: [entry('tickets', ['read'])] })))
})
afterEach(() => h.close())

test('a state is good after a restart, once; and after the next one it is still used (P9, S18)', async () => {
  const session = await h.session('bot')
  const caller = { role: 'agent', agent: 'bot', session: session.id } as const
  const input = { tool: 'tickets', scopes: ['read'], reason: 'INC-1', durationSeconds: null, details: {} }
  const showing = newShowing(h.deps, input)
  const { outcome, isNew } = unwrap(await askFor(h.deps, caller, input, 'req_1', showing.kept))
  expect(isNew).toBe(true)
  const id = outcome.status === 'pending' ? outcome.request.id : ''
  const back = () =>
    takeAnswer(h.deps, { caller, requestId: 'req_2' }, { input, state: showing.stateOf(id), answer: 'accept' })

  await h.reopen()
  expect(await back()).toEqual({ ok: true, value: id })
  await h.reopen()
  expect(await back()).toMatchObject({
    ok: false,
    error: { code: 'invalid_request', detail: 'requestState used before' },
  })
  expect((await h.row('request', id))?.state).toBe('pending')
})
