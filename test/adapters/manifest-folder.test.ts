// Reading and watching a real folder: what is not read, what is told, and how soon an edit arrives.

import { chmod, mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { readManifestFolder } from '../../src/adapters/manifests/read-folder.ts'
import { watchManifestFolder } from '../../src/adapters/manifests/watch-folder.ts'
import type { ManifestFiles } from '../../src/core/manifest.ts'

let folder: string
let abort: AbortController
let running: Promise<void>[] = []

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'hallpass-scopes-')))
  abort = new AbortController()
  await mkdir(join(folder, 'agents/keys'), { recursive: true })
  await writeFile(join(folder, 'agents/a.yaml'), 'one')
  await writeFile(join(folder, 'agents/keys/a.pub.pem'), 'key')
})

afterEach(async () => {
  abort.abort()
  await Promise.all(running)
  running = []
  await rm(folder, { recursive: true, force: true })
})

const text = (files: ManifestFiles, path: string) => new TextDecoder().decode(files.get(path))

const message = async (): Promise<string> => {
  const read = await readManifestFolder(folder)
  return read.ok ? 'ok' : read.message
}

const watching = (onSnapshot?: (files: ManifestFiles) => void | Promise<void>, intervalMs = 200) => {
  const snapshots: ManifestFiles[] = []
  const faults: string[] = []
  const run = watchManifestFolder(folder, {
    onSnapshot: async (files) => {
      await onSnapshot?.(files)
      snapshots.push(files)
    },
    onFault: (fault) => faults.push(fault),
    signal: abort.signal,
    intervalMs,
  })
  running.push(run)
  return { snapshots, faults, run }
}

const until = (condition: () => boolean) =>
  vi.waitFor(() => expect(condition()).toBe(true), { timeout: 5000, interval: 5 })

test('manifests and key files are read, dotfiles and other files are not', async () => {
  await mkdir(join(folder, '.git'))
  await writeFile(join(folder, '.git/config.yaml'), 'x')
  await writeFile(join(folder, '.hidden.yaml'), 'x')
  await writeFile(join(folder, 'README.md'), 'x')
  await writeFile(join(folder, 'agents/keys/b.json'), '{}')
  const read = await readManifestFolder(folder)
  expect(read.ok && [...read.files.keys()]).toEqual(['agents/a.yaml', 'agents/keys/a.pub.pem', 'agents/keys/b.json'])
})

test('the fingerprint covers names and contents', async () => {
  const print = async () => {
    const read = await readManifestFolder(folder)
    return read.ok ? read.fingerprint : null
  }
  const before = await print()
  expect(await print()).toBe(before)
  await writeFile(join(folder, 'agents/keys/a.pub.pem'), 'yek')
  const changed = await print()
  await rename(join(folder, 'agents/a.yaml'), join(folder, 'agents/b.yaml'))
  expect(new Set([before, changed, await print()]).size).toBe(3)
})

test('a missing folder, an empty one, and a file in its place are told (P3)', async () => {
  await rm(join(folder, 'agents/a.yaml'))
  expect(await message()).toContain('holds no manifest (*.yaml): nothing changes')
  await rm(folder, { recursive: true })
  expect(await message()).toContain('cannot be read (it is not there): nothing changes')
  await writeFile(folder, 'x')
  expect(await message()).toContain('cannot be read (it is not a folder)')
})

test('a symbolic link to a file or a folder is refused and named (S3)', async () => {
  await symlink('/etc/hosts', join(folder, 'agents/keys/evil.pem'))
  expect(await message()).toMatch(/^agents\/keys\/evil\.pem is a symbolic link/)
  await rm(join(folder, 'agents/keys/evil.pem'))
  await symlink('/etc', join(folder, 'tools'))
  expect(await message()).toMatch(/^tools is a symbolic link/)
})

test('a socket or any other special file is refused without being opened (S5)', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(join(folder, 'agents/socket.yaml'), resolve))
  expect(await message()).toBe('agents/socket.yaml is not a plain file: remove it')
  await new Promise((resolve) => server.close(resolve))
})

test('a file over the size limit is refused without being read whole (S5)', async () => {
  await writeFile(join(folder, 'big.yaml'), Buffer.alloc(1024 * 1024 + 1))
  expect(await message()).toBe('big.yaml is larger than 1024 KiB: split it')
})

test('no snapshot is taken while git holds its lock, here, above, or behind a worktree file (S3)', async () => {
  await mkdir(join(folder, '.git'))
  await writeFile(join(folder, '.git/index.lock'), '')
  expect(await message()).toMatch(/^git is writing here/)
  const below = await readManifestFolder(join(folder, 'agents'))
  expect(below.ok).toBe(false)
  await rename(join(folder, '.git'), join(folder, '.elsewhere'))
  expect(await message()).toBe('ok')
  await writeFile(join(folder, '.git'), 'gitdir: .elsewhere\n')
  expect(await message()).toMatch(/^git is writing here/)
})

test('each edit reaches the snapshot by itself (P3)', async () => {
  const { snapshots } = watching()
  await until(() => snapshots.length === 1)
  for (const round of [2, 3, 4]) {
    await writeFile(join(folder, 'agents/a.yaml'), `edit ${round}`)
    await until(() => snapshots.length === round)
    expect(text(snapshots.at(-1)!, 'agents/a.yaml')).toBe(`edit ${round}`)
  }
})

test('a new folder and a removed file are seen, and the same content is not handed over twice (P3)', async () => {
  const { snapshots } = watching()
  await until(() => snapshots.length === 1)
  await mkdir(join(folder, 'tools'))
  await writeFile(join(folder, 'tools/t.yaml'), 'tool')
  await until(() => snapshots.at(-1)!.has('tools/t.yaml'))
  const before = snapshots.length
  await writeFile(join(folder, 'tools/t.yaml'), 'tool')
  await rm(join(folder, 'agents/a.yaml'))
  await until(() => !snapshots.at(-1)!.has('agents/a.yaml'))
  expect(snapshots.length).toBe(before + 1)
})

test('while the folder keeps changing nothing is handed over (S3)', async () => {
  const { snapshots } = watching()
  await until(() => snapshots.length === 1)
  const end = performance.now() + 500
  let last = 0
  let before = performance.now()
  // Where the machine itself stood still for as long as two scans take, the folder did too.
  let pauses = 0
  while (performance.now() < end) {
    const began = performance.now()
    await writeFile(join(folder, 'agents/a.yaml'), `half ${last++}`)
    if (performance.now() - before > 45) pauses++
    before = began
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  expect(snapshots.length - 1).toBeLessThanOrEqual(pauses)
  await until(() => text(snapshots.at(-1)!, 'agents/a.yaml') === `half ${last - 1}`)
})

test('edits under a held git lock wait until it is gone (S3)', async () => {
  await mkdir(join(folder, '.git'))
  const { snapshots, faults } = watching()
  await until(() => snapshots.length === 1)
  await writeFile(join(folder, '.git/index.lock'), '')
  await writeFile(join(folder, 'agents/a.yaml'), 'checkout')
  await new Promise((resolve) => setTimeout(resolve, 400))
  expect(snapshots.length).toBe(1)
  await rm(join(folder, '.git/index.lock'))
  await until(() => snapshots.length === 2)
  expect(faults).toEqual([])
})

test('a folder that vanishes is told once, changes nothing, and is found when it is back (P3)', async () => {
  const { snapshots, faults } = watching(undefined, 20)
  await until(() => snapshots.length === 1)
  await rename(folder, `${folder}-away`)
  await until(() => faults.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect(faults).toHaveLength(1)
  expect(faults[0]).toContain('it is not there')
  expect(snapshots.length).toBe(1)
  await rename(`${folder}-away`, folder)
  await until(() => snapshots.length === 2)
})

test('a fault that stays is told once, however often the folder changes around it (P3)', async () => {
  const { snapshots, faults } = watching(undefined, 20)
  await until(() => snapshots.length === 1)
  await symlink('/etc/hosts', join(folder, 'link.pem'))
  await until(() => faults.length === 1)
  await writeFile(join(folder, 'agents/a.yaml'), 'two')
  await symlink('/etc/hosts', join(folder, 'a-link.pem'))
  await until(() => faults.length === 2)
  await rm(join(folder, 'a-link.pem'))
  await writeFile(join(folder, 'b.md'), 'three')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(faults.map((fault) => fault.split(' ')[0])).toEqual(['link.pem', 'a-link.pem'])
  await rm(join(folder, 'link.pem'))
  await until(() => snapshots.length === 2)
  expect(text(snapshots[1]!, 'agents/a.yaml')).toBe('two')
})

test('a snapshot that could not be applied is handed over again (P10)', async () => {
  let tries = 0
  const { snapshots, faults } = watching(() => {
    if (++tries === 1) throw new Error('store is down')
  })
  await until(() => snapshots.length === 1)
  expect(tries).toBe(2)
  expect(faults).toEqual(['the manifests were read but could not be applied; trying again'])
})

test('after the signal aborts the watcher ends and hears nothing more', async () => {
  const { snapshots, run } = watching()
  await until(() => snapshots.length === 1)
  abort.abort()
  await run
  await chmod(join(folder, 'agents/a.yaml'), 0o600)
  expect(snapshots.length).toBe(1)
})
