// Whether what a handle writes is what a restart will find. An open handle goes on writing into files that were moved
// or deleted, and such a commit is durable for nobody (P1). It only looks, and never opens a database file.

import { statSync } from 'node:fs'

/** Watches the database that a handle has open, its log written ahead included. Answers what is wrong, or null. */
export function watchInPlace(path: string): () => string | null {
  const opened = identitiesOf(path)
  return () =>
    identitiesOf(path) === opened
      ? null
      : `${path} is no longer what was opened: it was moved, deleted or replaced. To go on, put it back; to begin with what is there now, restart.`
}

const identitiesOf = (path: string): string => `${identityOf(path)} ${identityOf(`${path}-wal`)}`

function identityOf(file: string): string {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? 'none' : `${found.dev}:${found.ino}`
}
