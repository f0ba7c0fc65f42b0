// `tool snippet`: a configuration for what stands in front of a tool, or for the tool itself, from its manifest. Offline.

import type { Command } from 'commander'
import { didYouMean } from '../core/did-you-mean.ts'
import { SNIPPET_KINDS, SNIPPETS } from '../core/snippets/snippet.ts'
import { DEFAULT_UPSTREAM, readSnippetInput } from '../core/snippets/snippet-input.ts'
import { type Cli, verb } from './command.ts'
import { readScopes } from './read-scopes.ts'
import { Stop } from './stop.ts'

type Options = {
  readonly for: string
  readonly route?: readonly string[]
  readonly upstream: string
  readonly issuer?: string
}

const ABOUT = `
The manifest is read from HALLPASS_SCOPES (./scopes), offline; what is printed holds no secret.
  ask at each call       nginx, caddy, traefik, envoy (/forward-auth); apache (introspection)
  verify alone           haproxy (with a deny list); grafana, elasticsearch, opensearch, kubernetes
What a configuration cannot do stands in its first lines, and a warning is also printed to stderr.
  hallpass tool snippet metrics --for nginx --upstream http://127.0.0.1:9090 \\
    --route 'GET,POST /api/v1/query=metrics:read' --route 'GET /api/v1/targets=metrics:targets'`

export function addToolSnippet(tool: Command, cli: Cli): void {
  verb(tool, 'snippet <tool>', 'print a configuration that checks a tool’s tokens, from its manifest')
    .option('--for <what>', SNIPPET_KINDS.join(', '), 'nginx')
    .option(
      '--route <[METHODS ]PATH=SCOPE>',
      'which call needs which scope; a path that ends in / is all below it; may be repeated',
      (text: string, before: readonly string[] = []) => [...before, text],
    )
    .option('--upstream <url>', 'where the tool itself listens, behind the proxy', DEFAULT_UPSTREAM)
    .option('--issuer <url>', 'the broker as the tool’s side reaches it; default: HALLPASS_ISSUER')
    .addHelpText('after', ABOUT)
    .action(async (name: string, options: Options) => {
      const kind = SNIPPET_KINDS.find((one) => one === options.for.toLowerCase())
      if (kind === undefined)
        throw new Stop(1, `there is no configuration for "${options.for}"`, [
          `There is one for ${SNIPPET_KINDS.join(', ')}.`,
        ])
      const config = cli.config(options.issuer === undefined ? {} : { HALLPASS_ISSUER: options.issuer })
      const { set } = await readScopes(config)
      const manifest = set.tools.get(name)
      if (manifest === undefined) {
        const near = didYouMean(name, [...set.tools.keys()])
        throw new Stop(1, `${config.scopesPath} has no tool "${name}"`, near === null ? [] : [`Did you mean ${near}?`])
      }
      const input = readSnippetInput(manifest, config.issuer, {
        routes: options.route ?? [],
        upstream: options.upstream,
      })
      if (!input.ok) throw new Stop(1, input.error.join('\n'))
      const { text, warnings } = SNIPPETS[kind](input.value)
      cli.terminal.answer({ tool: name, for: kind, text, warnings }, () => [text.trimEnd()])
      if (!cli.terminal.json()) for (const warning of warnings) cli.terminal.note(`warning: ${warning}`)
    })
}
