// A stranger's quarter of an hour: types what the README shows, in a folder of its own, and compares what is printed.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testDatabase } from '../support/test-store.ts'
import { freePort } from '../tools/background.ts'

const CLONE = realpathSync('.')
/** Commands that run on: what they print is waited for, and the next one is typed beside them. */
const RUNS_ON = /^hallpass serve$|run example:|&$/

type Typed = { readonly command: string; readonly expected: readonly string[] }

const blocks = [...readFileSync('README.md', 'utf8').matchAll(/^```console\n(.*?)^```$/gms)].map(
  ([, block = '']) => block,
)
const typed: readonly Typed[] = blocks.flatMap((block) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const [command = '', ...expected] = part.trimEnd().split('\n')
      return { command, expected }
    }),
)

let folder: string
let shell: ChildProcess
let printed = ''
let port: number

beforeAll(async () => {
  port = await freePort()
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'hallpass-')))
  const { PATH } = process.env
  const { database } = await testDatabase()
  shell = spawn('bash', ['--noprofile', '--norc'], {
    cwd: folder,
    detached: true,
    env: {
      ...{ PATH, HOME: folder, HALLPASS_PORT: String(port), HALLPASS_LOG: 'error', NO_COLOR: '1' },
      ...(database === undefined ? {} : { HALLPASS_DATABASE: database }),
    },
  })
  for (const stream of [shell.stdout, shell.stderr]) stream?.on('data', (chunk) => (printed += String(chunk)))
})
afterAll(() => {
  if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

const asHere = (text: string) =>
  text
    .replaceAll('/path/to/this/clone', CLONE)
    .replaceAll('/path/to/your/folder', folder)
    .replaceAll('8420', String(port))

/** `rev_01a2…` in a command is the last id of that kind that was printed. */
const withIds = (command: string) =>
  command.replace(
    /\b([a-z]{3}_)01a2…/g,
    (_, prefix: string) => [...printed.matchAll(new RegExp(`${prefix}[0-9a-f]{32}`, 'g'))].at(-1)?.[0] ?? prefix,
  )

/** Lines in order; `…` alone skips lines, `…` within a line skips text, columns may be wider. */
function patternOf(expected: readonly string[]): RegExp {
  const escaped = expected.map((line) =>
    line === '…'
      ? '(?:.*\\n)*?.*'
      : asHere(line)
          .split('…')
          .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ +/g, ' +'))
          .join('.*'),
  )
  return new RegExp(escaped.join('\\n'))
}

async function settles(done: () => boolean, what: string): Promise<void> {
  await expect.poll(done, { message: what, timeout: 30_000, interval: 50 }).toBe(true)
}

test('what the README shows is what is printed', { timeout: 180_000 }, async () => {
  expect(typed.length).toBeGreaterThan(15)
  for (const [index, { command, expected }] of typed.entries()) {
    const from = printed.length
    const since = () => printed.slice(from)
    const line = withIds(asHere(command))
    const marker = `typed-${index}-`
    const isOn = RUNS_ON.test(command)
    shell.stdin?.write(isOn ? `${line.replace(/ ?&$/, '')} &\n` : `${line}\necho "${marker}$?"\n`)
    if (!isOn) await settles(() => since().includes(marker), `"${line}" ends; so far:\n${printed}`)
    const pattern = patternOf(expected)
    if (expected.length > 0)
      await settles(() => pattern.test(since()), `"${line}" prints\n${expected.join('\n')}`).catch((thrown) => {
        throw new Error(`"${line}" printed\n${since()}`, { cause: thrown })
      })
    if (command.endsWith('example:hono-tool'))
      await settles(() => /listens|ready|http:\/\//.test(since()), 'the tool listens')
    if (command.startsWith('hallpass agent new'))
      await settles(() => true, 'written').then(() => new Promise((resolve) => setTimeout(resolve, 1000)))
    if (command.includes('hallpass approve'))
      await settles(() => readFileSync(join(folder, 'credential'), 'utf8').startsWith('eyJ'), 'the credential is there')
    if (!isOn) expect(since(), `"${line}"`).toMatch(new RegExp(`${marker}0`))
  }
})
