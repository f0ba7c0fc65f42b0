// The writer's thread: the only handle that writes lives here, and here the disk is waited for. It answers each question
// once, in order, decides nothing by itself, and keeps nothing that the database does not hold.

import { parentPort, workerData } from 'node:worker_threads'
import { openWriter } from './open-writer.ts'
import { serveWriter } from './serve-writer.ts'
import { prepareUpkeep } from './upkeep.ts'
import { prepareWriter } from './writer.ts'
import type { ThreadData } from './writer-client.ts'

const { path, skewMs, keepChanges } = workerData as ThreadData
const port = parentPort!
const db = openWriter(path)
const upkeep = prepareUpkeep(db, keepChanges, (error) => port.postMessage({ type: 'upkeep waits', error }))
serveWriter(port, db, prepareWriter(db, skewMs), upkeep)
