// Runs the real launcher as a user does, in a folder of its own and with nothing of this process's settings.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const LAUNCHER = fileURLToPath(new URL('../../hallpass', import.meta.url))

export type Ran = { readonly code: number | null; readonly stdout: string; readonly stderr: string }
type Env = Readonly<Record<string, string>>

export const temporaryFolder = (): { readonly path: string; remove(): void } => {
  const path = mkdtempSync(join(tmpdir(), 'hallpass-cli-'))
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

/** Without a terminal, and without any HALLPASS_ variable but those given. */
export function start(
  cwd: string,
  args: readonly string[],
  env: Env = {},
  stdin: 'ignore' | 'pipe' = 'ignore',
): ChildProcess {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HALLPASS_')))
  return spawn(process.execPath, [LAUNCHER, ...args], {
    cwd,
    env: { ...clean, XDG_CONFIG_HOME: join(cwd, 'config'), ...env },
    stdio: [stdin, 'pipe', 'pipe'],
  })
}

export async function ended(child: ChildProcess): Promise<Ran> {
  const text = { stdout: '', stderr: '' }
  child.stdout?.on('data', (chunk) => {
    text.stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    text.stderr += chunk
  })
  const [code] = await once(child, 'close')
  return { code, ...text }
}

export const hallpass = (cwd: string, args: readonly string[], env: Env = {}): Promise<Ran> =>
  ended(start(cwd, args, env))

/** Resolves with everything printed so far once `pattern` is on stdout; rejects with what was said where it ends first. */
export function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', (chunk) => {
      stdout += chunk
      if (pattern.test(stdout)) resolve(stdout)
    })
    child.stderr?.on('data', (chunk) => {
      stderr += chunk
    })
    child.once('close', (code) => reject(new Error(`it ended with ${code}: ${stdout}${stderr}`)))
  })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
