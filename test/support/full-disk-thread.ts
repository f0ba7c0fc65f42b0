// A writer's thread on a disk that a test calls full: see small-disk.ts.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { openWriter } from '../../src/adapters/store/sqlite/open-writer.ts'
import { serveWriter } from '../../src/adapters/store/sqlite/serve-writer.ts'
import { prepareUpkeep } from '../../src/adapters/store/sqlite/upkeep.ts'
import { prepareWriter } from '../../src/adapters/store/sqlite/writer.ts'

const { path } = workerData
const full = join(dirname(path), 'full')
const isFull = () => existsSync(full) && (existsSync(`${path}.reserve`) || readFileSync(full, 'utf8') === 'wholly')

const db = openWriter(path)
const real = prepareWriter(db, workerData.skewMs)
serveWriter(
  parentPort!,
  db,
  {
    commitGroup: (group) => (isFull() ? { ok: false, why: 'full', error: 'SQLITE_FULL' } : real.commitGroup(group)),
    probe: () => (isFull() ? 'database or disk is full' : real.probe()),
  },
  prepareUpkeep(db, workerData.keepChanges, () => {}),
)
