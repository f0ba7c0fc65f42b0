// A program that speaks MCP on stdio, started by the broker, that floods, ends, hangs, will not go, leaves something behind
// or tells its secret: what its callers see, and what is left of it.

import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { revoke } from '../../src/actions/revoke.ts'
import { ok } from '../../src/core/result.ts'
import { as } from '../support/harness.ts'
import { SECRET, type StageLimits, type UpstreamStage, upstreamStage } from './upstream-mcp-stage.ts'

const PROGRAM = fileURLToPath(new URL('../support/lying-mcp-program.ts', import.meta.url))
const LIMITS = { idleMs: 400, callMs: 800, killMs: 400, restartMs: 150, answerBytes: 256 * 1024 }

let s: UpstreamStage
let lie = ''
afterEach(async () => {
  await s.close()
})

const started = async (how: string, limits: StageLimits = {}, secret = SECRET) => {
  lie = how
  const program = () => ({
    command: process.execPath,
    args: [PROGRAM, 'one'],
    cwd: '/',
    env: { LIE: lie, SECRET: secret, PLAIN: 'yes' },
  })
  s = await upstreamStage(
    'legacy',
    { ...LIMITS, ...limits },
    {
      mcp: { url: null, command: 'liar', secret: null },
      programs: () => ok({ program: program(), secrets: [secret] }),
    },
  )
  if (how === 'never starts') return
  await s.look()
  await s.accept()
}

const lives = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
const endOf = async (requestId: string) => {
  await expect.poll(async () => (await s.ends()).has(requestId)).toBe(true)
  return (await s.ends()).get(requestId)
}
const textOf = (result: Awaited<ReturnType<UpstreamStage['call']>>): string =>
  result.ok ? ((result.value.content as { text: string }[])[0]?.text ?? '') : ''

describe('a program', () => {
  test('gets the environment that it was given and nothing else, and its secret comes back to nobody (S5, P7)', async () => {
    await started('environment')
    const told = textOf(await s.call('desk__search'))
    expect(told).not.toContain(SECRET.slice(0, 12))
    expect(JSON.parse(told)).toEqual([{ LIE: 'environment', SECRET: '[secret]', PLAIN: 'yes' }, ['one'], '/'])
    expect(await s.shown()).toEqual(['desk__search'])
  })

  test.each([
    ['one line without an end', 'too long'],
    ['lines without an end', 'too long'],
    ['one long message', 'too long'],
    ['ends', 'broken'],
    ['another answer', 'late'],
    ['silence', 'late'],
  ])('that says %s ends its call, and is there again for the next', async (how, end) => {
    await started(how)
    const before = performance.now()
    expect((await s.call('desk__search', {}, { requestId: 'req_lie' })).ok).toBe(false)
    expect(performance.now() - before).toBeLessThan(3_000)
    expect(await endOf('req_lie')).toBe(end)
    lie = ''
    if (end === 'late') return
    // It is not started again at once, and nobody waits for that.
    const again = await s.call('desk__search')
    expect(again).toMatchObject({ ok: false, error: { code: 'overloaded' } })
    await expect.poll(async () => (await s.call('desk__search')).ok, { timeout: 5_000 }).toBe(true)
  })

  test('that will not go is ended with the broker, in time', async () => {
    await started('will not go')
    const pid = Number(textOf(await s.call('desk__search')))
    expect(lives(pid)).toBe(true)
    const before = performance.now()
    await s.upstream.close()
    expect(performance.now() - before).toBeLessThan(3_000)
    expect(lives(pid)).toBe(false)
  })

  test('that left something behind which holds its pipes holds up neither its callers nor the broker’s end', async () => {
    await started('leaves something behind')
    const before = performance.now()
    expect((await s.call('desk__search', {}, { requestId: 'req_left' })).ok).toBe(false)
    expect(performance.now() - before).toBeLessThan(3_000)
    expect(await endOf('req_left')).toBe('broken')
    const left = Number(/left (\d+)/.exec(s.logged.join('\n'))?.[1])
    const closing = performance.now()
    await s.upstream.close()
    expect(performance.now() - closing).toBeLessThan(3_000)
    process.kill(left, 'SIGKILL')
  })

  test('that never starts is waited for by nobody whose right ended, and is gone with the broker', async () => {
    await started('never starts')
    // Accepted before it was taken over.
    lie = ''
    await s.look()
    await s.accept()
    const pid = Number(textOf(await s.call('desk__search')))
    process.kill(pid, 'SIGKILL')
    lie = 'never starts'
    await expect
      .poll(async () => JSON.stringify(await s.call('desk__search', {}, { signal: AbortSignal.timeout(50) })))
      .toContain('given up')
    const result = s.call('desk__search', {}, { requestId: 'req_wait' })
    await expect.poll(async () => (await s.h.trail()).some(({ request }) => request === 'req_wait')).toBe(true)
    const taking = performance.now()
    await revoke(s.h.deps, as.admin, { kind: 'grant', id: s.grant.id, reason: 'over' })
    expect(JSON.stringify(await result)).toContain('The call was ended')
    expect(performance.now() - taking).toBeLessThan(3_000)
    await s.upstream.close()
    expect(performance.now() - taking).toBeLessThan(5_000)
  })

  test('that reads nothing is sent no more than it may hold, and its callers are told so at once', async () => {
    await started('reads nothing', { callsPerAgent: 64, callsPerServer: 64, idleMs: 2_000, callMs: 4_000 })
    const given = { text: 'x'.repeat(200_000) }
    const waiting = Array.from({ length: 10 }, () => s.call('desk__search', given))
    await expect
      .poll(async () => JSON.stringify(await s.call('desk__search', given, { signal: AbortSignal.timeout(500) })))
      .toContain('does not read what it is asked')
    expect((await Promise.all(waiting)).every(({ ok: isOk }) => !isOk)).toBe(true)
  })

  test.each([
    ['a short one', SECRET],
    ['a long one', Array.from({ length: 60 }, (_, at) => `part${at}-`).join('')],
  ])(
    'that tells its secret, %s, is heard by nobody: not in part, where what it said was cut (P7)',
    async (_, secret) => {
      await started('tells its secret', {}, secret)
      expect((await s.call('desk__search')).ok).toBe(false)
      await expect.poll(() => s.logged.join('\n')).toContain('MCP program ended')
      for (let at = 0; at + 8 <= secret.length; at++)
        expect(s.logged.join('\n')).not.toContain(secret.slice(at, at + 8))
    },
  )

  test('whose secret could not be read once is started when it can be', async () => {
    await started('')
    await s.close()
    let readable = false
    s = await upstreamStage('legacy', LIMITS, {
      mcp: { url: null, command: 'liar', secret: null },
      programs: () =>
        readable
          ? ok({ program: { command: process.execPath, args: [PROGRAM], cwd: '/', env: {} }, secrets: [] })
          : { ok: false, error: 'is the command liar, and a secret of it cannot be opened' },
    })
    await s.look()
    expect(s.tools.looked('desk')?.failure).toMatch(/cannot be opened/)
    readable = true
    await s.look()
    expect(s.tools.looked('desk')?.failure).toBeNull()
  })

  test('that is not there is told in words, with nothing of how it was to be started', async () => {
    s = await upstreamStage('legacy', LIMITS, {
      mcp: { url: null, command: 'liar', secret: null },
      programs: () =>
        ok({ program: { command: '/nowhere/liar', args: [SECRET], cwd: '/', env: {} }, secrets: [SECRET] }),
    })
    await s.look()
    expect(s.tools.looked('desk')?.failure).toBe('cannot be started (ENOENT)')
    expect(s.logged.join('\n')).not.toContain(SECRET.slice(0, 12))
  })
})
