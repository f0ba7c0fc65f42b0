// Connections to one PostgreSQL database: how they are set up, what they must find there, and what is known of a
// statement that failed. No message of this module carries the address, since that may hold a password.

import pg from 'pg'

export type Statement = { readonly text: string; readonly values?: readonly unknown[]; readonly name?: string }
export type Query = <R extends object>(statement: Statement) => Promise<R[]>

/**
 * unreachable: nothing was sent. refused: the server said no, and nothing of the statement stands.
 * lost: sent, and no reply came; it may have happened, and may still happen.
 */
export class QueryError extends Error {
  override name = 'QueryError'
  readonly why: 'unreachable' | 'refused' | 'lost'
  /** SQLSTATE where the server gave one, else empty. */
  readonly code: string
  constructor(why: QueryError['why'], code: string, message: string) {
    super(message)
    this.why = why
    this.code = code
  }
}

/** One connection, made when it is first needed and again after it was lost. One statement at a time. */
export type Line = {
  readonly query: Query
  /** The server process that it speaks to; 0 when there is none. */
  readonly pid: number
  close(): Promise<void>
}

export type Readers = {
  readonly query: Query
  /** Several statements on one snapshot (REPEATABLE READ, READ ONLY). */
  snapshot<T>(look: (query: Query) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export type LineRole = 'writer' | 'doorbell' | 'upkeep'
type LineOptions = {
  /** Runs on every new connection before it is used; what it throws closes the connection. */
  readonly onConnect?: (query: Query) => Promise<void>
  readonly onNotification?: (from: number) => void
}

export type Connections = {
  line(role: LineRole, options?: LineOptions): Line
  readers(most: number): Readers
}

const CONNECT_MS = 5_000
/** The server gives up on a statement before the client gives up on the server. */
const STATEMENT_MS: Record<LineRole | 'reader', number> = {
  writer: 10_000,
  doorbell: 3_000,
  upkeep: 30_000,
  reader: 10_000,
}
const LOST_AFTER_MS = 2_000
const LOCK_MS = 3_000
const INT8 = 20

/** Sequence numbers and instants stay below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => (oid === INT8 ? Number : pg.types.getTypeParser(oid, format)),
}

/**
 * Opens nothing yet. `schema` is where all tables are.
 * @throws TypeError where the address is none; the message does not repeat it.
 */
export function connectionsTo(url: string, schema: string): Connections {
  const address = withoutOptions(url)
  const configOf = (role: LineRole | 'reader'): pg.ClientConfig => ({
    connectionString: address.url,
    application_name: `hallpass ${role}`,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    types,
    options: `${address.options} ${sessionOptions(role, schema)}`.trim(),
  })

  return {
    line: (role, options = {}) => createLine(configOf(role), STATEMENT_MS[role] + LOST_AFTER_MS, options),
    readers(most) {
      const pool = new pg.Pool({ ...configOf('reader'), max: most, idleTimeoutMillis: 60_000 })
      // The pool listens to idle connections alone: one that breaks while it is asked would end the process.
      pool.on('connect', (client) => client.on('error', () => 'whoever asks of it hears of it'))
      pool.on('error', () => 'an idle connection broke: the pool makes another, and whoever asks next hears of it')
      const deadline = STATEMENT_MS.reader + LOST_AFTER_MS
      async function using<T>(work: (query: Query) => Promise<T>): Promise<T> {
        const client = await pool.connect().catch((thrown: unknown) => {
          throw new QueryError('unreachable', codeOf(thrown), messageOf(thrown))
        })
        let isSound = false
        try {
          const value = await work((statement) => run(client, statement, deadline))
          isSound = true
          return value
        } catch (thrown) {
          isSound = thrown instanceof QueryError && thrown.why === 'refused'
          throw thrown
        } finally {
          client.release(!isSound)
        }
      }
      return {
        query: (statement) => using((query) => query(statement)),
        snapshot: (look) =>
          using(async (query) => {
            await query({ text: 'begin isolation level repeatable read read only' })
            try {
              return await look(query)
            } finally {
              await query({ text: 'commit' })
            }
          }),
        close: () => pool.end(),
      }
    },
  }
}

function createLine(config: pg.ClientConfig, deadlineMs: number, options: LineOptions): Line {
  let current: pg.Client | null = null
  let pid = 0
  let isClosed = false

  const drop = (client: pg.Client) => {
    if (current !== client) return
    current = null
    pid = 0
  }

  async function connected(): Promise<pg.Client> {
    if (isClosed) throw new QueryError('unreachable', '', 'the connection is closed')
    if (current !== null) return current
    const client = new pg.Client(config)
    client.on('error', () => drop(client))
    client.on('end', () => drop(client))
    client.on('notification', ({ processId }) => options.onNotification?.(processId))
    try {
      await client.connect()
      await options.onConnect?.((statement) => run(client, statement, deadlineMs))
      const [backend] = await run<{ pid: number }>(client, { text: 'select pg_backend_pid() as pid' }, deadlineMs)
      pid = backend?.pid ?? 0
    } catch (thrown) {
      giveUp(client)
      throw thrown instanceof QueryError ? thrown : new QueryError('unreachable', codeOf(thrown), messageOf(thrown))
    }
    if (isClosed) {
      giveUp(client)
      throw new QueryError('unreachable', '', 'the connection is closed')
    }
    current = client
    return client
  }

  return {
    async query(statement) {
      const client = await connected()
      try {
        return await run(client, statement, deadlineMs)
      } catch (thrown) {
        if (!(thrown instanceof QueryError) || thrown.why !== 'refused') {
          drop(client)
          giveUp(client)
        }
        throw thrown
      }
    },
    get pid() {
      return pid
    },
    async close() {
      isClosed = true
      await current?.end()
    },
  }
}

/** Ends a connection whose state is not known; that it cannot say goodbye is no news. */
function giveUp(client: pg.Client): void {
  client.end().catch(() => 'gone already')
}

async function run<R extends object>(client: pg.ClientBase, statement: Statement, deadlineMs: number): Promise<R[]> {
  try {
    return await within(deadlineMs, client.query<R>({ ...statement, values: [...(statement.values ?? [])] }))
  } catch (thrown) {
    if (thrown instanceof QueryError) throw thrown
    if (!(thrown instanceof pg.DatabaseError)) throw new QueryError('lost', codeOf(thrown), messageOf(thrown))
    // After an ERROR the server goes on and nothing of the statement stands; after a FATAL or a PANIC it does not, and
    // what was being committed may stand. Severity names are translated, so the server is asked.
    try {
      await within(deadlineMs, client.query({ text: 'select 1' }))
    } catch {
      throw new QueryError('lost', thrown.code ?? '', thrown.message)
    }
    throw new QueryError('refused', thrown.code ?? '', thrown.message)
  }
}

async function within<R extends object>(deadlineMs: number, reply: Promise<pg.QueryResult<R>>): Promise<R[]> {
  const { promise: over, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new QueryError('lost', '', 'the server does not answer')), deadlineMs)
  try {
    return (await Promise.race([reply, over])).rows
  } finally {
    clearTimeout(timer)
  }
}

/** The writer's and the readers' plans are by index, whatever the statistics say of tables that grew since. */
function sessionOptions(role: LineRole | 'reader', schema: string): string {
  const settings: Record<string, string | number> = {
    search_path: schema,
    default_transaction_isolation: 'read\\ committed',
    default_transaction_read_only: role === 'reader' ? 'on' : 'off',
    statement_timeout: STATEMENT_MS[role],
    lock_timeout: LOCK_MS,
    idle_in_transaction_session_timeout: 60_000,
    jit: 'off',
    enable_seqscan: 'off',
    enable_hashjoin: 'off',
    enable_mergejoin: 'off',
    ...(role === 'writer' ? { plan_cache_mode: 'force_generic_plan' } : {}),
  }
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ')
}

/** The address without its `options`, which would replace ours. */
function withoutOptions(text: string): { readonly url: string; readonly options: string } {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new TypeError('The database address must be postgres://user:password@host:port/database.')
  }
  const options = url.searchParams.get('options') ?? ''
  url.searchParams.delete('options')
  return { url: url.href, options }
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
}

function messageOf(thrown: unknown): string {
  // Node gathers the failures of several addresses under an error without words.
  if (thrown instanceof AggregateError) return thrown.errors.map(messageOf).join('; ')
  return thrown instanceof Error ? thrown.message : String(thrown)
}
