// What agents wrote is shown to people who decide: nothing in it may move a cursor or turn a line around (S20).

import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { indented, receiptLines, show, table } from '../../src/commands/show.ts'
import { Stop } from '../../src/commands/stop.ts'
import { createTerminal } from '../../src/commands/terminal.ts'

const NASTY = 'restart\u001b[2J\u202e db\u009b1A\r\nAPPROVED\u200b'
// Everything but the line ends that we print ourselves.
const MOVES = /[\0-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]/

const fakeStreams = (isTTY: boolean, env: Record<string, string> = {}) => {
  const stream = () => Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY })
  const [stdin, stdout, stderr] = [stream(), stream(), stream()]
  const read = (from: PassThrough) => String(from.read() ?? '')
  const terminal = createTerminal({ stdin, stdout, stderr, env })
  return { terminal, stdout: () => read(stdout), stderr: () => read(stderr) }
}

describe('agent text', () => {
  test('is one line without control or bidi characters in a value, a table and a patch (S20)', () => {
    const lines = [
      show(NASTY),
      show([NASTY]),
      show({ [NASTY]: NASTY }),
      ...table([{ reason: NASTY }], ['reason'], ''),
      ...indented(NASTY),
    ]
    for (const line of lines) expect(line).not.toMatch(MOVES)
    expect(table([{ reason: NASTY }], ['reason'], '')).toHaveLength(2)
  })

  test('is stripped in a fault, and escaped without loss in JSON (S20)', () => {
    const { terminal, stdout, stderr } = fakeStreams(true)
    terminal.fault(new Stop(2, NASTY, [NASTY], { code: NASTY, requestId: NASTY, manifestPatch: NASTY }))
    terminal.useJson()
    terminal.answer({ reason: NASTY }, () => [])
    expect(stderr()).not.toMatch(MOVES)
    const json = stdout()
    expect(json).not.toMatch(MOVES)
    expect(JSON.parse(json)).toEqual({ reason: NASTY })
  })
})

test('a receipt says for each account what was removed, read back and probed, or why it is still there (P5, S15)', () => {
  const open = {
    tool: 'desk',
    credentials: 1,
    status: 'outstanding',
    deadBy: '2026-01-15T10:00:00.000Z',
    dueBy: '2026-01-15T09:00:15.000Z',
  }
  const gone = { name: 'hp-1', status: 'gone', removedAfterMilliseconds: 12, readBackAfterMilliseconds: 20 }
  const there = { name: 'hp-2', status: 'leaving', removedAfterMilliseconds: null, readBackAfterMilliseconds: null }
  const accounts = [
    { ...gone, probedDeadAfterMilliseconds: 31 },
    { ...gone, name: 'hp-3', probedDeadAfterMilliseconds: null },
    { ...there, probedDeadAfterMilliseconds: null, lastFailure: `remove: ${NASTY}` },
  ]
  const lines = receiptLines({ id: 'rvk_1', status: 'outstanding', confirmations: [{ ...open, accounts }, open] })
  expect(lines.slice(-5)).toEqual([
    '  desk: 1 credential, outstanding; until the tool shows it dead; due by 2026-01-15T09:00:15Z',
    '    account hp-1: removed 12 ms, read back 20 ms, probed dead 31 ms',
    '    account hp-3: removed 12 ms, read back 20 ms, no secret to probe',
    '    account hp-2: still there (remove: restart[2J db1A APPROVED)',
    '  desk: 1 credential, outstanding; dead by 2026-01-15T10:00:00Z at the latest; due by 2026-01-15T09:00:15Z',
  ])
  for (const line of lines) expect(line).not.toMatch(MOVES)
})

describe('colours', () => {
  test('are on a terminal only, and never with NO_COLOR', () => {
    expect(fakeStreams(true).terminal.paint('red', 'x')).not.toBe('x')
    expect(fakeStreams(false).terminal.paint('red', 'x')).toBe('x')
    expect(fakeStreams(true, { NO_COLOR: '1' }).terminal.paint('red', 'x')).toBe('x')
  })
})
