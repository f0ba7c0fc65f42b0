import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIFECYCLES, type Machine, mayMove, move } from '../../src/core/lifecycle.ts'

const TERMINAL: Record<Machine, readonly string[]> = {
  request: ['approved', 'denied', 'withdrawn'],
  grant: ['superseded', 'revoked'],
  session: ['revoked'],
  credential: ['revoked'],
  account: ['gone'],
  revocation: ['complete'],
  agent: ['decommissioned'],
  revision: ['replaced'],
  widening: ['accepted', 'declined', 'void'],
  lock: ['lifted'],
}

const machines = Object.keys(LIFECYCLES) as Machine[]
const statesOf = (machine: Machine) => Object.keys(LIFECYCLES[machine]) as never[]

describe('lifecycles', () => {
  it.each(machines)('a %s ends where the table says, and nowhere else', (machine) => {
    const ends = Object.entries(LIFECYCLES[machine]).filter(([, next]) => next.length === 0)
    expect(ends.map(([state]) => state).sort()).toEqual([...TERMINAL[machine]].sort())
  })

  it('terminal states stay terminal, whatever is tried in whatever order (P6)', () => {
    fc.assert(
      fc.property(fc.constantFrom(...machines), fc.array(fc.nat(20), { maxLength: 30 }), (machine, picks) => {
        const states = statesOf(machine)
        let row: { readonly state: never } = { state: states[0]! }
        let ended: string | null = null
        for (const pick of picks) {
          const to = states[pick % states.length]!
          if (mayMove(machine, row.state, to)) row = move(machine, row, to)
          if (ended !== null) expect(row.state).toBe(ended)
          if (TERMINAL[machine].includes(row.state)) ended = row.state
        }
      }),
    )
  })

  it('no state is entered twice: every lifecycle only goes forward (P6)', () => {
    for (const machine of machines) {
      const reach = (from: string, seen: readonly string[]): void => {
        expect(seen).not.toContain(from)
        const next: Readonly<Record<string, readonly string[]>> = LIFECYCLES[machine]
        for (const to of next[from] ?? []) reach(to, [...seen, from])
      }
      for (const state of statesOf(machine)) reach(state, [])
    }
  })

  it('a move that the table does not have is a defect and throws', () => {
    expect(() => move('grant', { state: 'revoked' }, 'active')).toThrow('never goes from revoked to active')
    expect(() => move('agent', { state: 'decommissioned' }, 'active')).toThrow()
  })
})
