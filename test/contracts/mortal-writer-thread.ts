// A writer's thread for tests, ruled by the ids of what it is given: it is slow, or dies before or after the commit.

import { parentPort, workerData } from 'node:worker_threads'
import { openWriter } from '../../src/adapters/store/sqlite/open-writer.ts'
import { serveWriter } from '../../src/adapters/store/sqlite/serve-writer.ts'
import { prepareUpkeep } from '../../src/adapters/store/sqlite/upkeep.ts'
import { prepareWriter } from '../../src/adapters/store/sqlite/writer.ts'

const db = openWriter(workerData.path)
const real = prepareWriter(db, workerData.skewMs)
const clock = new Int32Array(new SharedArrayBuffer(4))
serveWriter(
  parentPort!,
  db,
  {
    ...real,
    commitGroup(group) {
      const has = (word: string) => group.members.some(({ id }) => id.includes(word))
      if (has('slow')) Atomics.wait(clock, 0, 0, 400)
      if (has('stalls')) Atomics.wait(clock, 0, 0, 1_600)
      if (has('dies-before')) process.exit(1)
      const result = real.commitGroup(group)
      if (has('dies-after')) process.exit(1)
      return result
    },
  },
  prepareUpkeep(db, workerData.keepChanges, () => {}),
)
