// A page of the documentation, typed as it is written: files that it shows are written, commands are typed into one shell,
// and what is printed is compared with what the page says.

import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'

const CLONE = realpathSync('.')

type Block =
  | { readonly file: string; readonly content: string }
  | { readonly command: string; readonly expected: readonly string[] }

/** Files (`path`: and a block under it) and commands, in the order of the page. */
export function blocksOf(page: string): readonly Block[] {
  const found = page.matchAll(/(?:^`([^`\n]+)`:\n\n```[a-z]*|^```console)\n(.*?)^```$/gms)
  return [...found].flatMap(([, file, text = '']): Block[] =>
    file === undefined
      ? text
          .split(/^\$ /m)
          .slice(1)
          .map((part) => {
            const [command = '', ...expected] = part.trimEnd().split('\n')
            return { command, expected }
          })
      : [{ file, content: text }],
  )
}

export type Typed = {
  readonly folder: string
  /** All that was printed so far. */
  printed(): string
  /** Types the whole page. */
  type(blocks: readonly Block[], how?: Typing): Promise<void>
  close(): void
}
type Typing = {
  /** Looks that are taken again until they show it. */
  readonly again?: RegExp
  /** What must be so before the next line is typed. */
  readonly after?: (command: string, since: () => string) => Promise<void>
}

/** Commands that run on: what they print is waited for, and the next one is typed beside them. */
const RUNS_ON = /^hallpass serve$|run example:|&$/

/** In a folder of its own; `ports`: as the page writes them → as they are here. */
export function openPage(ports: Readonly<Record<string, number>>, env: Readonly<Record<string, string>>): Typed {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hallpass-')))
  const { PATH } = process.env
  const shell: ChildProcess = spawn('bash', ['--noprofile', '--norc'], {
    cwd: folder,
    detached: true,
    env: { PATH, HOME: folder, NO_COLOR: '1', ...env },
  })
  let printed = ''
  for (const stream of [shell.stdout, shell.stderr]) stream?.on('data', (chunk) => (printed += String(chunk)))

  const asHere = (text: string) =>
    Object.entries(ports).reduce(
      (so, [written, here]) => so.replaceAll(written, String(here)),
      text.replaceAll('/path/to/this/clone', CLONE).replaceAll('/path/to/your/folder', folder),
    )

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

  const settles = (done: () => boolean, what: () => string) =>
    expect
      .poll(done, { timeout: 30_000, interval: 50 })
      .toBe(true)
      .catch((thrown) => {
        throw new Error(what(), { cause: thrown })
      })

  async function typeLine(command: string, marker: string): Promise<string> {
    const from = printed.length
    shell.stdin?.write(`${withIds(asHere(command))}\necho "${marker}$?"\n`)
    await settles(
      () => printed.slice(from).includes(marker),
      () => `"${command}" does not end; so far:\n${printed}`,
    )
    return printed.slice(from)
  }

  return {
    folder,
    printed: () => printed,
    async type(blocks, { again, after } = {}) {
      for (const [index, block] of blocks.entries()) {
        if ('file' in block) {
          const path = join(folder, block.file)
          mkdirSync(dirname(path), { recursive: true })
          writeFileSync(path, asHere(block.content))
          continue
        }
        const { command, expected } = block
        const from = printed.length
        let since = () => printed.slice(from)
        const marker = `typed-${index}-`
        const isOn = RUNS_ON.test(command)
        const pattern = patternOf(expected)
        if (isOn) shell.stdin?.write(`${withIds(asHere(command)).replace(/ ?&$/, '')} &\n`)
        else {
          let said = await typeLine(command, marker)
          for (let left = 15; again?.test(command) && !pattern.test(said) && left > 0; left--) {
            await new Promise((resolve) => setTimeout(resolve, 200))
            said = await typeLine(command, marker)
          }
          since = () => said
        }
        if (expected.length > 0)
          await settles(
            () => pattern.test(since()),
            () => `"${command}" is to print\n${expected.join('\n')}\nand printed\n${since()}`,
          )
        await after?.(command, since)
        if (!isOn) expect(since(), `"${command}"`).toMatch(new RegExp(`${marker}0`))
      }
    },
    close() {
      if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
      chmodSync(folder, 0o700)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export const readPage = (path: string): readonly Block[] => blocksOf(readFileSync(path, 'utf8'))
