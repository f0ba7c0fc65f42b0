import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createNarrator } from '../../src/demo/narrator.ts'
import { expectShape, expectThat, runWalk, StepFailed, until } from '../../src/demo/steps.ts'

/** What a run of the demo printed, with a temporary folder of its own. */
async function runDemo(temporary: string, args: readonly string[], until: (stdout: string) => boolean = () => false) {
  const child = spawn('node', ['src/demo.ts', ...args], {
    env: { PATH: `${join(process.cwd(), 'node_modules', '.bin')}:${process.env.PATH}`, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (bytes) => {
    said.stdout += String(bytes)
    if (until(said.stdout)) child.kill('SIGINT')
  })
  child.stderr.on('data', (bytes) => {
    said.stderr += String(bytes)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, ...said }
}

describe('npm run demo', () => {
  let temporary: string
  beforeEach(() => {
    temporary = mkdtempSync(join(tmpdir(), 'demo-test-'))
  })
  afterEach(() => rmSync(temporary, { recursive: true, force: true }))

  it('walks from the first request to the verified trail, says what came, and leaves nothing behind (P1–P8)', async () => {
    const { code, stdout, stderr } = await runDemo(temporary, [])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const inOrder = [
      / 1 {2}triage-bot signs in\n/,
      /← a session over MCP 2026-07-28/,
      /← pending as “\w+ \w+ \w+”: it waits for .*sre-lead@example\.com/,
      /← 403: .*may not do this/,
      /← granted to triage-bot until .* on the word of sre-lead@example\.com/,
      /← a token that lives (2\d\d|300) seconds and opens http:\/\/127\.0\.0\.1:\d+ alone/,
      /← 200: INC-1 .*INC-2/,
      /← 201: the comment is there/,
      /← 200: up = 1/,
      /← 403: .*"queue"/,
      /← scope_not_in_manifest: .*/,
      /│ {3}scopes: \[ticket:close\]/,
      /← \d+ ms later the tool answers 401: The credential was taken back\./,
      /← its token of the metrics service still works/,
      /← nothing changed yet: this waits/,
      /│ \+ scope ticket:comment/,
      /← in force/,
      /← 201: the comment is there/,
      /← the tool, \d+ ms later: 401 The credential was taken back\./,
      /← the ticket desk, \d+ ms later: 401/,
      /← the metrics service, \d+ ms later: 401/,
      /← refused: triage-bot is decommissioned\./,
      /← revoked: agent\/triage-bot, by sre-lead@example\.com/,
      /│ metrics: 1 token revoked after \d+ ms/,
      /│ tickets: 1 token revoked after \d+ ms \(.*acknowledged.*\)/,
      /← OK \d+ records, no gap, root [0-9a-f]{4}…, signed \d\d:\d\d:\d\dZ/,
      /← found out: /,
      /\nEvery step did what it says \(/,
    ]
    let rest = stdout
    for (const line of inOrder) {
      const found = line.exec(rest)
      expect(found, `${line} in:\n${rest}`).not.toBeNull()
      rest = rest.slice((found?.index ?? 0) + (found?.[0].length ?? 0))
    }
    expect(stdout).not.toMatch(/\u001b|eyJ|hp_(owner|admin|verify)_/)
    expect(readdirSync(temporary)).toEqual([])
  })

  it('stays up with --keep, prints lines to paste, and is gone after Ctrl-C', async () => {
    const { code, stdout } = await runDemo(temporary, ['--keep'], (said) =>
      said.includes('The manifests to edit are in'),
    )
    expect(code).toBe(0)
    expect(stdout).toMatch(/export HALLPASS_URL=http:\/\/127\.0\.0\.1:\d+ HALLPASS_AGENT=report-bot\n/)
    expect(stdout).toMatch(/export HALLPASS_TOKEN=hp_owner_/)
    expect(readdirSync(temporary)).toEqual([])
  })

  it('removes its folder when it is interrupted', async () => {
    const { code } = await runDemo(temporary, [], (said) => said.includes(' 2  '))
    expect(code).toBe(130)
    expect(readdirSync(temporary)).toEqual([])
  })
})

describe('a step of the demo', () => {
  const told = () => {
    const written: string[] = []
    return { narrator: createNarrator({ write: (text) => written.push(text) }), text: () => written.join('') }
  }

  it('that does not do what it says ends the walk with exit code 1, and shows what was expected and what came', async () => {
    const { narrator, text } = told()
    const reached: string[] = []
    const code = await runWalk(narrator, async (step) => {
      await step('first', async () => reached.push('first'))
      await step('second', async () => expectThat(false, 'the tool to refuse', { status: 200 }))
      await step('third', async () => reached.push('third'))
    })
    expect(code).toBe(1)
    expect(reached).toEqual(['first'])
    expect(text()).toContain(' 2  second')
    expect(text()).toContain('step 2 expected: the tool to refuse')
    expect(text()).toContain('{"status":200}')
    expect(text()).not.toContain('third')
  })

  it('that breaks ends the walk with exit code 1 too', async () => {
    const { narrator, text } = told()
    const code = await runWalk(narrator, (step) => step('first', () => Promise.reject(new Error('connection refused'))))
    expect(code).toBe(1)
    expect(text()).toContain('step 1 broke: connection refused')
  })

  it('fails on an answer of another shape', () => {
    expect(() => expectShape(z.object({ grant: z.string() }), { error: 'no' }, 'a grant')).toThrow(StepFailed)
  })

  it('shows no token of what came instead (P7)', () => {
    const came = { access_token: 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln', bearer: 'hp_owner_abc', status: 200 }
    expect(new StepFailed('a refusal', came).came).toBe('{"access_token":"[secret]","bearer":"[secret]","status":200}')
  })

  it('fails when what it waits for does not come in time', async () => {
    const waited = until(async () => null, { withinMs: 20, expected: 'the tool to refuse', everyMs: 5 })
    await expect(waited).rejects.toThrow('the tool to refuse within 20 ms')
  })

  it('hands its answer on, and a walk of good steps is exit code 0', async () => {
    const { narrator } = told()
    let came = 0
    const code = await runWalk(narrator, async (step) => {
      came = await step('first', async () => 7)
    })
    expect({ code, came }).toEqual({ code: 0, came: 7 })
  })
})

describe('what the demo prints', () => {
  const printed = (isTTY: boolean, env: Record<string, string> = {}) => {
    const written: string[] = []
    const narrator = createNarrator({ write: (text) => written.push(text), isTTY }, env)
    narrator.step(1, 'a step')
    narrator.came('an answer \u001b[31mwith\u202e tricks')
    narrator.shown('- tool: tickets\n  scopes: []')
    return written.join('')
  }

  it('has colours on a terminal only, and none where NO_COLOR is set', () => {
    expect(printed(true)).toContain('\u001b[')
    expect(printed(false)).not.toContain('\u001b')
    expect(printed(true, { NO_COLOR: '1' })).not.toContain('\u001b')
  })

  it('holds nothing of what came that could move a cursor, and keeps the indentation of YAML (S20)', () => {
    expect(printed(false)).toContain('← an answer [31mwith tricks\n')
    expect(printed(false)).toContain('│ - tool: tickets\n      │   scopes: []\n')
  })
})
