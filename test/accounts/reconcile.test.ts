// Somebody changes things in the tool behind the broker's back: it is found within one look, and healed or reported.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { readStatus } from '../../src/actions/read-status.ts'
import { reconcileTool, reconcileTools } from '../../src/actions/reconcile-tool.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import type { AccountTarget } from '../../src/core/manifest.ts'
import { as } from '../support/harness.ts'
import { accountTool, setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { createStage, SET, type Stage } from './stage.ts'

let s: Stage
beforeEach(async () => {
  s = await createStage()
})
afterEach(() => s.close())

const look = async () => {
  const result = await reconcileTool(s.h.deps, as.operator, 'desk')
  return [result?.managed, ...(result?.findings ?? []).map(({ drift, name, did }) => `${drift} ${name} ${did}`)]
}
const drifts = async () =>
  (await s.h.trail()).filter(({ kind }) => kind === 'tool.drift').map(({ body }) => `${body.finding} ${body.did}`)
const byHand = (name: string, rights = ['Read']) =>
  s.tool.accounts.set(name, { external: name, secret: `by-hand-${name}`, rights, active: true })
const named = () => s.tool.active()[0]!

async function policy(reconcile: Partial<AccountTarget['reconcile']>) {
  const of = { ghosts: 'remove', others: 'report', overScoped: 'heal', exempt: [], ...reconcile } as const
  const set = setOf(...SET.agents.values(), accountTool('desk', { reconcile: of }), SET.tools.get('board')!)
  const applied = unwrap(await applyManifests(s.h.deps, as.watcher, { set, base: null }))
  unwrap(await settleRevision(s.h.deps, as.admin, { id: applied.revision.id, decision: 'accept', reason: null }))
}

describe('a tool is looked through', () => {
  test('and what is as it should be is managed, for the second time too', async () => {
    unwrap(await s.mint())
    expect([await look(), await look(), await drifts()]).toEqual([[1], [1], []])
  })

  test('an account added by hand is reported once, and never touched', async () => {
    byHand('eve')
    expect(await look()).toEqual([0, 'other eve reported'])
    await look()
    expect(await drifts()).toEqual(['other reported'])
    expect(s.tool.active()).toEqual(['eve'])
  })

  test('a right added by hand is taken away again, and the trail says which (P2)', async () => {
    unwrap(await s.mint())
    const name = named()
    s.tool.accounts.set(name, { ...s.tool.accounts.get(name)!, rights: ['Admin', 'Read'] })
    expect(await look()).toEqual([0, `over-scoped ${name} healed`])
    expect(s.tool.accounts.get(name)?.rights).toEqual(['Read'])
    const [record] = (await s.h.trail()).filter(({ kind }) => kind === 'tool.drift')
    expect(record?.body).toMatchObject({ finding: 'over-scoped', rights: ['Admin'], did: 'healed' })
    expect(await look()).toEqual([1])
  })

  test('an account of ours that was unlocked by hand is locked again (P5)', async () => {
    unwrap(await s.mint())
    const name = named()
    unwrap(await revoke(s.h.deps, as.admin, { kind: 'grant', id: s.grant.id, reason: null }))
    await s.rounds(2)
    s.tool.accounts.set(name, { ...s.tool.accounts.get(name)!, active: true })
    expect(await look()).toEqual([0, `unlocked ${name} removed`])
    expect(s.tool.active()).toEqual([])
  })

  test("another tool's account in the same place, by another manifest, is left to that tool (P2)", async () => {
    const { token } = unwrap(await s.mint())
    s.other.accounts.set(named(), { ...s.tool.accounts.get(named())! })
    expect(await reconcileTool(s.h.deps, as.operator, 'board')).toMatchObject({ managed: 0, findings: [] })
    expect(s.other.works(token)).toBe(true)
  })

  test('a ghost, whose row a restored backup has lost, is removed (P9)', async () => {
    unwrap(await s.mint())
    const name = named()
    byHand(`${name.slice(0, -1)}${name.endsWith('0') ? '1' : '0'}`)
    byHand('hp-0000111122223333x')
    const found = await look()
    expect(found[0]).toBe(1)
    expect(found.slice(1).map((one) => String(one).replace(/hp-\S+/, 'NAME'))).toEqual([
      'ghost NAME removed',
      'other NAME reported',
    ])
    expect(s.tool.active()).toEqual([name, 'hp-0000111122223333x'].sort())
  })

  test('an account of ours that is gone is missing, and the next mint makes another', async () => {
    unwrap(await s.mint())
    s.tool.accounts.clear()
    expect((await look())[1]).toMatch(/^missing hp-\S+ healed$/)
    await s.rounds(2)
    unwrap(await s.mint())
    expect(s.tool.active().length).toBe(1)
  })

  test('and by the policy that its manifest says, nothing of it is done (S1)', async () => {
    await policy({ ghosts: 'report', overScoped: 'report', others: 'ignore' })
    unwrap(await s.mint())
    const name = named()
    s.tool.accounts.set(name, { ...s.tool.accounts.get(name)!, rights: ['Admin', 'Read'] })
    byHand('eve')
    byHand(`${name.slice(0, -1)}${name.endsWith('0') ? '1' : '0'}`)
    expect((await look()).map((one) => String(one).replace(/hp-\S+/, 'NAME')).sort()).toEqual([
      '0',
      'ghost NAME reported',
      'over-scoped NAME reported',
    ])
    expect(s.tool.accounts.get(name)?.rights).toEqual(['Admin', 'Read'])
  })

  test('a list that is old harms nobody: each finding is looked at again (S16)', async () => {
    const list = s.tool.list
    s.tool.list = async (...asked) => {
      const old = await list(...asked)
      unwrap(await s.mint())
      return old
    }
    expect(await look()).toEqual([1])
    s.tool.list = list
    expect(s.tool.active().length).toBe(1)
  })

  test.each(['down', 'hang', 'error'] as const)(
    'that is "%s" is said to be unread, and holds up no other',
    async (fault) => {
      s.tool.fault = (op) => (op === 'list' ? fault : null)
      await reconcileTools(s.h.deps)
      expect(s.h.deps.drifts.get('desk')?.failure).not.toBeNull()
      expect(s.h.deps.drifts.get('board')).toMatchObject({ failure: null })
      const status = unwrap(await readStatus(s.h.deps, as.admin.caller))
      expect(status.tools.map(({ tool }) => tool)).toEqual(['desk'])
    },
  )

  test('a lie about healing is found out: it failed, and says so', async () => {
    unwrap(await s.mint())
    const name = named()
    s.tool.accounts.set(name, { ...s.tool.accounts.get(name)!, rights: ['Admin', 'Read'] })
    s.tool.fault = (op) => (op === 'setRights' ? 'lie' : null)
    expect(await look()).toEqual([0, `over-scoped ${name} failed`])
    await look()
    expect(await drifts()).toEqual(['over-scoped failed'])
  })
})
