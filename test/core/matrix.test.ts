import { describe, expect, test } from 'vitest'
import {
  ACTS,
  type Act,
  type Cell,
  cellOf,
  MATRIX_ROWS,
  type MatrixCaller,
  type MatrixRow,
  may,
} from '../../src/core/matrix.ts'

const NAMES: Readonly<Record<MatrixRow, string>> = {
  agent: 'an agent',
  'agent-owner': 'an owner of an agent',
  'tool-owner': 'an owner of a tool',
  admin: 'an admin',
  operator: 'the operator',
  auditor: 'an auditor',
  publisher: 'a publisher',
  verifier: 'a verifier',
}

const callerOf = (row: MatrixRow): MatrixCaller => {
  switch (row) {
    case 'agent':
      return { role: 'agent', agent: 'bot' }
    case 'agent-owner':
      return { role: 'owner', email: 'alice@example.com' }
    case 'tool-owner':
      return { role: 'owner', email: 'tina@example.com' }
    case 'verifier':
      return { role: 'verifier', tool: 'tickets' }
    default:
      return { role: row }
  }
}

/** The page S7 once more, written out by hand: row → what it may, `own` unless marked with `*` for any. */
const EXPECTED: Readonly<Record<MatrixRow, string>> = {
  agent:
    'request.make request.see request.withdraw session.see session.revoke grant.see grant.release credential.see credential.issue credential.revoke agent.see receipt.see can.ask',
  'agent-owner':
    'request.see request.approve request.deny session.see session.revoke grant.see grant.revoke credential.see credential.revoke agent.see agent.decommission lock.set lock.lift_own lock.see revision.see widening.accept widening.decline receipt.see audit.read can.ask',
  'tool-owner':
    'request.see request.deny grant.see grant.revoke credential.see credential.revoke agent.see tool.see tool.reconcile tool.pin tool.drill lock.set lock.lift_own lock.see revision.see widening.accept widening.decline receipt.see audit.read can.ask',
  admin:
    '*request.see *session.see *session.revoke *grant.see *grant.revoke *credential.see *credential.revoke *agent.see *agent.decommission *tool.see *tool.reconcile *tool.pin *tool.drill *lock.set *lock.lift *lock.lift_own *lock.see *revision.see *widening.accept_tool *widening.decline_tool *receipt.see *audit.read *audit.export *status.read *metrics.read *can.ask *token.inspect *key.list *key.rotate',
  operator:
    '*request.see *session.see *session.revoke *grant.see *grant.revoke *credential.see *credential.revoke *agent.see *agent.decommission *tool.see *tool.reconcile *tool.pin *tool.drill *lock.set *lock.lift *lock.lift_own *lock.see *revision.see *widening.accept_tool *widening.decline_tool *receipt.see *audit.read *audit.export *status.read *metrics.read *can.ask *token.inspect *key.list *key.rotate *bearer.make *bearer.list *bearer.revoke *clock.reset',
  auditor:
    '*request.see *session.see *grant.see *credential.see *agent.see *tool.see *lock.see *revision.see *receipt.see *audit.read *audit.export *status.read *metrics.read *can.ask *token.inspect *key.list',
  publisher: '*revision.propose *revision.see',
  verifier: 'introspect forward_auth feed lease',
}

const expected = (row: MatrixRow, act: Act): Cell => {
  const words = EXPECTED[row].split(' ')
  return words.includes(`*${act}`) ? 'any' : words.includes(act) ? 'own' : 'no'
}

const mine = { agent: 'bot', tool: 'tickets' }
const others = { agent: 'other-bot', tool: 'metrics' }
const nobody = { agentOwners: [], toolOwners: [] }

describe.each(MATRIX_ROWS)('%s', (row) => {
  const caller = callerOf(row)
  const owners = {
    agentOwners: row === 'agent-owner' ? ['alice@example.com'] : ['someone@example.com'],
    toolOwners: row === 'tool-owner' ? ['tina@example.com'] : ['someone@example.com'],
  }
  const own = { ...mine, ...(caller.role === 'owner' ? { owner: caller.email } : {}) }
  const strangers = { agentOwners: ['x@example.com'], toolOwners: ['y@example.com'] }
  for (const act of ACTS) {
    const cell = expected(row, act)
    const says = { no: 'may not', own: 'may only for its own', any: 'may for all' }[cell]
    test(`${NAMES[row]} ${says}: ${act} (S7)`, () => {
      expect(cellOf(row, act)).toBe(cell)
      expect(may(caller, act, own, owners)).toBe(cell !== 'no')
      expect(may(caller, act, others, strangers)).toBe(cell === 'any')
      expect(may(caller, act, {}, nobody)).toBe(cell === 'any')
    })
  }
})

test('the hand-written page names no act that the matrix does not know (S7)', () => {
  for (const words of Object.values(EXPECTED))
    for (const word of words.split(' ')) expect(ACTS).toContain(word.replace('*', ''))
})

const alice = callerOf('agent-owner')
const tina = callerOf('tool-owner')
const both = { agentOwners: ['alice@example.com'], toolOwners: ['tina@example.com'] }

test("an owner of a tool may not approve an agent's request on it (S7)", () => {
  expect(may(tina, 'request.approve', mine, both)).toBe(false)
  expect(may(alice, 'request.approve', mine, both)).toBe(true)
})

test('an owner of an agent decides nothing for a tool that is not theirs (S7)', () => {
  expect(may(alice, 'lock.set', { tool: 'tickets' }, { agentOwners: [], toolOwners: ['tina@example.com'] })).toBe(false)
})

test('neither an admin nor the operator approves a request or accepts for an agent (S7)', () => {
  for (const role of ['admin', 'operator'] as const)
    for (const act of ['request.approve', 'request.deny', 'widening.accept', 'widening.decline'] as const)
      expect(may({ role }, act, mine, both)).toBe(false)
})

test("an owner may lift their own lock, never another's (S7, S12)", () => {
  expect(may(alice, 'lock.lift_own', { agent: 'bot', owner: 'alice@example.com' }, both)).toBe(true)
  expect(may(alice, 'lock.lift_own', { agent: 'bot', owner: 'tina@example.com' }, both)).toBe(false)
  expect(may(alice, 'lock.lift_own', { agent: 'bot' }, both)).toBe(false)
  expect(may(alice, 'lock.lift', { agent: 'bot', owner: 'alice@example.com' }, both)).toBe(false)
})

test('whoever owns nothing of it may nothing (S7)', () => {
  const stranger: MatrixCaller = { role: 'owner', email: 'eve@example.com' }
  for (const act of ACTS) expect(may(stranger, act, { ...mine, owner: 'eve@example.com' }, both)).toBe(false)
})
