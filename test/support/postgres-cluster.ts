// The PostgreSQL server of one run, for all tests of it.

import type { TestProject } from 'vitest/node'
import { removeServer, type Server, startServer } from './postgres-server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    readonly postgresServer: Server
  }
}

export default function startCluster(project: TestProject): () => void {
  const server = startServer()
  project.provide('postgresServer', server)
  return () => removeServer(server)
}
