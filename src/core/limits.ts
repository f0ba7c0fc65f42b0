// Every numeric limit of the product, in one place, each with its unit and its reason.
// Nothing here may be raised without looking at who could then be hurt: memory, an owner's patience, a promise's time.

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Bytes of a request's body, by edge; more is refused before it is read. */
export const BODY_BYTES = {
  oauth: 64 * KIB,
  mcp: 1 * MIB,
  api: 1 * MIB,
  revision: 16 * MIB,
  console: 64 * KIB,
} as const

/** What one HTTP request may carry besides its body. */
export const HTTP = {
  headerCount: 100,
  headerBytes: 16 * KIB,
  urlBytes: 8 * KIB,
  /** Slower than this to send its headers, or all of it, is cut off (milliseconds). */
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  /** Unless HALLPASS_MAX_CONNECTIONS says otherwise. */
  connections: 10_000,
  /** Connections that wait to be accepted. Past them the system drops what clients send, and they try again for half a minute. */
  backlog: 4_096,
} as const

/**
 * Calls served at a time and calls that wait for it, by class, and for how long: more, or longer, is answered `overloaded`
 * (S17). Two groups of the store fill `agents.atOnce`: one is written while the other is made.
 */
export const ADMISSION = {
  agents: { atOnce: 64, waiting: 4_096 },
  checks: { atOnce: 256, waiting: 4_096 },
  people: { atOnce: 64, waiting: 1_024 },
  waitMs: 2_000,
  placeMs: 500,
} as const

/**
 * Members that wait to be written, in each lane: thirty-two groups, so that what waits is written within a second or refused.
 * Each holds its rows and sealed records, mostly some 10 KiB.
 */
export const STORE_WAITING = 1_024

/** Rows of one answered list. */
export const PAGE = { default: 100, max: 500 } as const

/** The longest anyone may hold a request open, waiting for an owner (seconds). */
export const WAIT_SECONDS_MAX = 50

/** Characters of what people and agents write. */
export const TEXT = { reason: 1000, email: 254, name: 63, label: 256 } as const

/** What one agent may have open at a time: an owner reads these. */
export const OPEN = {
  pendingRequestsPerAgent: 20,
  activeGrantsPerAgentAndTool: 64,
  sessionsPerAgent: 2048,
  scopesPerRequest: 64,
  detailsPerRequest: 32,
  valuesPerDetail: 64,
} as const

/** Bytes of a token or assertion; longer is not looked at. */
export const TOKEN_BYTES_MAX = 8 * KIB

/** Lives of what is minted (seconds). */
export const LIFETIME = {
  /** S11; also the longest any token of ours may live, so a key outlives its last token. */
  sessionMax: HOUR,
  tokenMax: HOUR,
  /** A private_key_jwt assertion, from `iat` to `exp`: official clients send 300. */
  assertionMax: 5 * MINUTE,
  /** How long a request waits for its owner unless configured. */
  request: HOUR,
  /** A document that is back identical within this resumes what it had (S3). */
  resume: 10 * MINUTE,
} as const

/** What a client is told of a request that waits, as a task. */
export const TASK = {
  /** How long it is known past the end of its request (seconds). */
  keptSeconds: HOUR,
  /** From one look to the next (milliseconds): a tenth of how long it has waited, within these. */
  pollMs: 2_000,
  pollMsMax: 30_000,
} as const

/** How far two honest clocks may differ (seconds); single-use rows are kept this long past their expiry (S18). */
export const CLOCK_SKEW_SECONDS = 60

/** How far below the highest time seen the clock may be for anything to be issued (milliseconds, S18). */
export const CLOCK_STEP_MS = 2_000

/** The largest leeway a tool may declare for `exp` (seconds). */
export const LEEWAY_SECONDS_MAX = 10 * MINUTE

/** Signing keys (seconds). */
export const KEYS = {
  /** `Cache-Control: max-age` of the JWKS. */
  jwksMaxAge: 5 * MINUTE,
  /** From publishing a key to signing with it: every cache of the JWKS is older by then. */
  publication: 6 * MINUTE,
  /** From signing last to leaving the JWKS: the last token is dead for everyone, its leeway included. */
  retirement: HOUR + LEEWAY_SECONDS_MAX + CLOCK_SKEW_SECONDS,
} as const

/** Bearer secrets (S10), seconds. */
export const BEARER = {
  owner: { default: 12 * HOUR, max: 12 * HOUR },
  admin: { default: 90 * DAY, max: 90 * DAY },
  auditor: { default: 90 * DAY, max: 90 * DAY },
  publisher: { default: 90 * DAY, max: 90 * DAY },
  verifier: { default: 400 * DAY, max: 400 * DAY },
} as const

/** So that a verifier can be rotated without a gap, and not more. */
export const VERIFIERS_PER_TOOL = 2
export const VERIFIER_WARNING_SECONDS = 30 * DAY

/** Tools' own admin APIs. Milliseconds. */
export const TARGET = {
  /** One call; a create is several of the tool's own. */
  createMs: 15_000,
  changeMs: 15_000,
  lookMs: 10_000,
  listMs: 30_000,
  /** How long after its deadline a create may still be carried out by a tool that is slow (S16). */
  settleMs: 30_000,
  /** Calls to one tool at a time, and how many may wait for their turn. */
  atOnce: 4,
  waiting: 64,
  /** The breaker: opens after so many failures in a row, for so long, doubled each time it fails again. */
  failuresToOpen: 5,
  openMs: 5_000,
  openMsMax: 60_000,
  /** Between two tries of taking an account away, doubled each time, and half of it by chance. */
  retryMs: 250,
  retryMsMax: 60_000,
  /** An account that is not confirmed gone by then is outstanding (P5). */
  goneMs: 15_000,
  /** Accounts, newest first, among which a found secret is looked for. */
  inspected: 10_000,
  /** Accounts that one reconciliation reads of a tool. */
  listed: 10_000,
  reconcileMs: 60_000,
} as const

/** Drills on a schedule. */
export const DRILL = {
  /** What a manifest may ask for (seconds): each makes an account in the tool, and one that is older proves little. */
  everyMin: HOUR,
  everyMax: 90 * DAY,
  /** From one look for what is due to the next; one drill begins at each, so that tools do not drill together (milliseconds). */
  lookMs: 10_000,
  /** Drills under way at a time: a tool that is slow to kill its canary holds up few others. */
  atOnce: 4,
  /** After one that failed, doubled each time it fails again, and never longer than the interval (milliseconds). */
  retryMs: MINUTE * 1000,
  retryMsMax: 6 * HOUR * 1000,
  /** Past drills of a tool that are looked at to count those that failed in a row. */
  looked: 12,
  /** How long the broker waits for what is under way when it ends, twice: for its end, then for its giving up (milliseconds). */
  stopMs: 2_000,
} as const

/** Calls through the proxy. */
export const PROXY = {
  /** Calls of one agent at a time; what is open longest is a stream. */
  callsPerAgent: 64,
  /** Connections to one tool. */
  socketsPerTool: 128,
  /** Without a byte from either side (milliseconds); a tool that does not begin to answer within it is late. */
  idleMs: 60_000,
  connectMs: 5_000,
  /** Streams whose right to go on is looked at again, whatever was committed (milliseconds). */
  recheckMs: 5_000,
  /** Ends of calls that wait for the trail, how many one commit takes, and how long one waits (milliseconds). */
  endsWaiting: 20_000,
  endsAtOnce: 64,
  endsAfterMs: 100,
  /** Accounts' secrets held for calls. */
  secretsHeld: 1_000,
} as const

/** What MCP clients hold open, each a socket: streams of one agent (2026-07-28). */
export const MCP_STREAMS_PER_AGENT = 4

/**
 * Sessions of 2025-era clients, a few KiB each: of one agent, as many as a small fleet of it has, and of all. Where there is no
 * room one that was idle for `idleMs` gives way; one that nobody used for `forgottenMs` is let go (milliseconds).
 */
export const MCP_SESSIONS = {
  perAgent: 32,
  all: 4_096,
  idleMs: 10 * MINUTE * 1000,
  forgottenMs: DAY * 1000,
} as const

/** The stdio bridge (`hallpass mcp`), which runs beside one client. */
export const BRIDGE = {
  /** One line from the client: no more than the broker takes. */
  lineBytes: BODY_BYTES.mcp,
  /** One message of the broker's. */
  answerBytes: 16 * MIB,
  /** Requests under way at a time. */
  inFlight: 256,
  /** Silence that ends a call or a stream; a broker that waits for an owner is silent for less (milliseconds). */
  idleMs: 120_000,
  /** How long a call waits for a broker that is away, and a client's first message (milliseconds). */
  patienceMs: 8_000,
  handshakeMs: 4_000,
  /** Between two tries, doubled each time (milliseconds). */
  retryMs: 100,
  retryMsMax: 5_000,
  /** Grants whose credential it keeps in files at a time. */
  grants: 64,
  /** What giving back may take once the client has left: most clients kill soon after (milliseconds). */
  goodbyeMs: 3_000,
} as const

/** Resources that a session of 2025 hears of. */
export const MCP_SUBSCRIPTIONS_PER_SESSION = 64

/** What an upstream MCP server may say of one of its tools, and how far it is read. */
export const DEFINITION = {
  title: 200,
  description: 8_000,
  bytes: 64 * KIB,
  depth: 24,
  nodes: 4_000,
  /** All its lines, as a person who accepts it reads them. */
  shownChars: 512 * KIB,
  /** Accepted or taken back by one call. */
  perCall: 64,
  /** Lines of before times lines of after that are compared one by one. */
  diffCells: 1_000_000,
} as const

/** Upstream MCP servers. Milliseconds, unless it says otherwise. */
export const UPSTREAM_MCP = {
  connectMs: 10_000,
  /** From one sign of life of a call to the next; progress is one. */
  idleMs: 60_000,
  callMs: 10 * MINUTE * 1000,
  /** How long nothing is under way that could bring the answer that is waited for. */
  lullMs: 1_000,
  /** Listing its tools, all pages together; and how many pages are read, and how many tools. */
  listMs: 20_000,
  listPages: 32,
  listTools: 2_000,
  listBytes: 8 * MIB,
  /** All that one call is answered with, progress and all (bytes), and what one message over stdio may be. */
  answerBytes: 4 * MIB,
  /** Messages of one answer, progress among them; and how many of them may ask us for something. */
  answerMessages: 10_000,
  answerRequests: 100,
  /** What a program may say in so long, whatever it was asked. */
  burstMs: 10_000,
  burstLines: 20_000,
  burstBytes: 64 * MIB,
  /** Levels of what is in an answer. */
  answerDepth: 64,
  /** Arguments of one call (bytes). */
  argumentBytes: 256 * KIB,
  /** Calls under way at a time, of one agent and to one server. */
  callsPerAgent: 16,
  callsPerServer: 64,
  /** Connections that wait for the next call, in all, and for how long. */
  idleConnections: 256,
  keepMs: 60_000,
  /** How often definitions are looked at again; how soon at the earliest, whatever a server says. */
  lookMs: 60_000,
  lookAgainMs: 5_000,
  /** A program that ended is started again after so long, doubled each time; one that lived for so long was well. */
  restartMs: 500,
  restartMsMax: 60_000,
  wellMs: 60_000,
  /** Between asking a program to end and ending it. */
  killMs: 2_000,
  /** How long a call waits for its agent to answer what the server asks; how often one call may ask. */
  askMs: 5 * MINUTE * 1000,
  asksPerCall: 8,
  /** Calls of one agent that wait for its client to come back with an answer. */
  asksPerAgent: 8,
} as const

/** What an upstream MCP server may ask of a person. Characters. */
export const QUESTION = { message: 1_000, schema: 16 * KIB, url: 2_048 } as const

/** The longest life of a credential in a tool that can take nothing away (seconds). */
export const UNREVOCABLE_SECONDS_MAX = 5 * MINUTE

/** Guards (S15), seconds. */
export const GUARD_LEASE_SECONDS = 10
export const GUARDS_PER_TOOL = 256

/** How long it is remembered that an agent proved itself from an address: a working day. */
export const DOOR = { remembersSeconds: 12 * HOUR } as const

/**
 * Token buckets: `capacity` at once, then `refillPerSecond`. `maxKeys` bounds the memory of each limiter; a bucket
 * pushed out of it is full when it comes back, so it is far above what is honestly in use at a time.
 */
export const RATE = {
  /** Requests for access by one agent: each may wake a person. 30 a minute. */
  askPerAgent: { capacity: 30, refillPerSecond: 0.5, maxKeys: 10_000 },
  /** Proofs of one agent at the token endpoint: nobody else can use it up. */
  tokenPerClient: { capacity: 1000, refillPerSecond: 200, maxKeys: 10_000 },
  /** Exchanges and issue_token by one agent. */
  mintPerAgent: { capacity: 2000, refillPerSecond: 200, maxKeys: 10_000 },
  /** Any other call by one agent. */
  callPerAgent: { capacity: 1000, refillPerSecond: 100, maxKeys: 10_000 },
  /** Failed or missing authentication, per remote address. */
  strangerPerAddress: { capacity: 50, refillPerSecond: 5, maxKeys: 50_000 },
  /** Assertions that prove nothing, from where that agent proved itself of late. */
  provenPair: { capacity: 20, refillPerSecond: 2, maxKeys: 10_000 },
  /** The same where the address has used its own up, by a hash of the name that is claimed: as many as `maxKeys`. */
  claimedName: { capacity: 2, refillPerSecond: 0.5, maxKeys: 1024 },
  /** The same again, of everybody together. With the names' share it is 1,000 checks a second: a tenth of a core. */
  claimedByAnybody: { capacity: 500, refillPerSecond: 500, maxKeys: 1 },
  /** Calls of `/v1` by one bearer. */
  apiPerBearer: { capacity: 500, refillPerSecond: 50, maxKeys: 10_000 },
  /** Introspection and forward-auth are a tool's hot path. */
  checkPerTool: { capacity: 20_000, refillPerSecond: 10_000, maxKeys: 10_000 },
} as const
