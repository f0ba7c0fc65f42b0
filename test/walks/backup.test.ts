// A copy of the data folder as the README says to make it, put back into an empty folder: the same trail, the same keys,
// and nothing that was taken away comes back; without its KEK it is of no use to anyone (P6, S19).

import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Sqlite from 'better-sqlite3'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { openStage, type Stage } from '../crash/stage.ts'
import { callApi, exchange, type Held, obtainCredential } from '../tools/people-and-agents.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const DATABASE = 'hallpass.db'
const INTENTS = 'hallpass.db.intents'

let stage: Stage
let alive: Held
let backup: string
/** The folder whose trail goes on: each restored one is the next. */
let current: string
beforeAll(async () => {
  stage = await openStage({ agents: ['worker'], access: 'approval: none' })
  await stage.broker.start()
  const { broker, ledger } = stage
  const obtain = async (scope: string) => {
    const ask = { tool: 'desk', scopes: [scope] }
    const held = await obtainCredential(broker.issuer, stage.agent('worker'), broker.ownerToken, ask)
    ledger.received(held.token)
    return held
  }
  alive = await obtain('desk:read')
  const { credential } = await obtain('desk:comment')
  const path = `/credentials/${credential}/revoke`
  ledger.taken('credential', credential, await callApi(broker.issuer, broker.adminToken, path, {}))
  current = stage.data
  backup = join(stage.folder, 'backup')
  mkdirSync(backup)
})
afterEach(() => stage.broker.stop())
afterAll(() => stage.close())

/** Into an empty folder of its own, with the KEK from where it is kept or without it. */
function restore(name: string, files: readonly string[], withKek = true): string {
  const folder = join(stage.folder, name)
  mkdirSync(folder, { mode: 0o700 })
  for (const file of files) copyFileSync(join(backup, file), join(folder, file))
  if (withKek) copyFileSync(join(stage.data, 'kek'), join(folder, 'kek'))
  return folder
}

const serve = (folder: string) => stage.broker.start({ env: { HALLPASS_DATA: folder } })

async function expectWhole(folder: string): Promise<void> {
  await serve(folder)
  current = folder
  await stage.ledger.audit()
  expect(await stage.isActive(alive.token)).toBe(true)
  expect((await exchange(stage.broker.issuer, alive.sessionToken, alive.grant)).status).toBe(200)
}

test('taken while it serves, by SQLite’s own backup: the restored broker holds all of it and goes on (P9)', async () => {
  const database = new Sqlite(join(current, DATABASE), { readonly: true })
  await database.backup(join(backup, DATABASE))
  database.close()
  copyFileSync(join(current, INTENTS), join(backup, INTENTS))
  await stage.broker.kill()
  await expectWhole(restore('restored-online', [DATABASE, INTENTS]))
})

test('copied while it is stopped: two files are all there is to copy, and what is left out is made anew (P9, S17)', async () => {
  await serve(current)
  await stage.broker.stop()
  // Stopped, it leaves nothing beside them but what a start makes: the lock, the reserve, the socket's folder.
  expect(readdirSync(current).sort()).toEqual(
    [DATABASE, INTENTS, 'hallpass.db.lock', 'hallpass.db.reserve', 'kek', 'run'].sort(),
  )
  for (const file of [DATABASE, INTENTS]) copyFileSync(join(current, file), join(backup, file))
  const folder = restore('restored-cold', [DATABASE, INTENTS])
  await expectWhole(folder)
  expect(existsSync(join(folder, 'hallpass.db.reserve'))).toBe(true)
})

test('without its KEK it does not start, and says what is missing (S19)', async () => {
  const folder = restore('restored-sealed', [DATABASE, INTENTS], false)
  await expect(serve(folder)).rejects.toThrow(/kek is gone/)
})
