// How MCP clients are told to start a stdio server, each in its own file and words. What is printed holds a command and
// paths, never a secret; a value that some client would read as more than text is refused.

import { err, ok, type Result } from './result.ts'

export type StdioServer = {
  /** What the client calls it. */
  readonly name: string
  /** An absolute path: a client started from a desktop has another PATH than a shell. */
  readonly command: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export type ClientConfig = {
  /** The client's own name. */
  readonly title: string
  readonly format: 'json' | 'toml'
  /** Where it goes; the first is the usual place. */
  readonly files: readonly string[]
  readonly text: string
  /** The same by the client's own command line; null: it has none. */
  readonly commandLine: string | null
}

type Client = {
  readonly title: string
  readonly files: readonly string[]
  readonly format: 'json' | 'toml'
  /** It replaces `$…` in these texts by something else, and has no way to say that it should not. */
  readonly expands: boolean
  write(server: StdioServer): string
  commandLine?(server: StdioServer): string
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
const entry = ({ command, args, env }: StdioServer) => ({ command, args, env })
const typed = (server: StdioServer) => ({ type: 'stdio', ...entry(server) })
/** The shape that most clients took from Claude Desktop. */
const underMcpServers =
  (of: (server: StdioServer) => object) =>
  (server: StdioServer): string =>
    json({ mcpServers: { [server.name]: of(server) } })

/** For a POSIX shell. */
const quoted = (text: string): string =>
  /^[A-Za-z0-9_@%+=:,./~-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
const environment = (option: string, { env }: StdioServer) =>
  Object.entries(env).flatMap(([name, value]) => [option, quoted(`${name}=${value}`)])
const started = ({ command, args }: StdioServer) => ['--', ...[command, ...args].map(quoted)]

/** A TOML basic string escapes as JSON does; control characters were refused before. */
const tomlText = (text: string): string => JSON.stringify(text)

const CLIENTS = {
  'claude-code': {
    title: 'Claude Code',
    files: ['.mcp.json in the project', '~/.claude.json for all of yours'],
    format: 'json',
    expands: true,
    write: underMcpServers(typed),
    commandLine: (server) =>
      [
        'claude mcp add --transport stdio --scope user',
        server.name,
        ...environment('--env', server),
        ...started(server),
      ].join(' '),
  },
  'claude-desktop': {
    title: 'Claude Desktop',
    files: [
      '~/Library/Application Support/Claude/claude_desktop_config.json (macOS)',
      '~/.config/Claude/claude_desktop_config.json (Linux)',
    ],
    format: 'json',
    expands: false,
    write: underMcpServers(entry),
  },
  vscode: {
    title: 'VS Code',
    files: ['.vscode/mcp.json in the workspace', 'mcp.json of your profile (MCP: Open User Configuration)'],
    format: 'json',
    expands: true,
    write: (server) => json({ servers: { [server.name]: typed(server) } }),
    commandLine: (server) => `code --add-mcp ${quoted(JSON.stringify({ name: server.name, ...typed(server) }))}`,
  },
  cursor: {
    title: 'Cursor',
    files: ['.cursor/mcp.json in the project', '~/.cursor/mcp.json for all of yours'],
    format: 'json',
    expands: true,
    write: underMcpServers(typed),
  },
  codex: {
    title: 'Codex CLI',
    files: ['~/.codex/config.toml'],
    format: 'toml',
    expands: false,
    write: ({ name, command, args, env }) =>
      [
        `[mcp_servers.${name}]`,
        `command = ${tomlText(command)}`,
        `args = [${args.map(tomlText).join(', ')}]`,
        '',
        `[mcp_servers.${name}.env]`,
        ...Object.entries(env).map(([key, value]) => `${key} = ${tomlText(value)}`),
        '',
      ].join('\n'),
    commandLine: (server) =>
      ['codex mcp add', server.name, ...environment('--env', server), ...started(server)].join(' '),
  },
  gemini: {
    title: 'Gemini CLI',
    files: ['~/.gemini/settings.json', '.gemini/settings.json in the project'],
    format: 'json',
    expands: true,
    write: underMcpServers(entry),
  },
} as const satisfies Record<string, Client>

export type ClientName = keyof typeof CLIENTS
export const CLIENT_NAMES = Object.keys(CLIENTS) as readonly ClientName[]

/** Other names that people give them. */
const ALIASES: Readonly<Record<string, ClientName>> = {
  claude: 'claude-code',
  claudecode: 'claude-code',
  desktop: 'claude-desktop',
  code: 'vscode',
  'vs-code': 'vscode',
  'codex-cli': 'codex',
  'gemini-cli': 'gemini',
}

export const clientNamed = (given: string): ClientName | null => {
  const name = given.toLowerCase()
  return CLIENT_NAMES.find((one) => one === name) ?? (Object.hasOwn(ALIASES, name) ? ALIASES[name]! : null)
}

/** The error says which value cannot be written, in words that do not repeat it: it might be a secret put in its place. */
export function clientConfig(name: ClientName, server: StdioServer): Result<ClientConfig, string> {
  const client: Client = CLIENTS[name]
  const values: readonly (readonly [what: string, value: string])[] = [
    ['the command', server.command],
    ...server.args.map((arg) => ['an argument', arg] as const),
    ...Object.entries(server.env),
  ]
  for (const [what, value] of values) {
    if (!value.isWellFormed() || /\p{Cc}/u.test(value)) return err(`${what} holds characters that no path has`)
    if (client.expands && value.includes('$'))
      return err(`${what} holds a $, which ${client.title} would replace by something else: move it to another path`)
  }
  return ok({
    title: client.title,
    format: client.format,
    files: client.files,
    text: client.write(server),
    commandLine: client.commandLine?.(server) ?? null,
  })
}
