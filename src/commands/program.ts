// All commands there are, on one page.

import { Command } from 'commander'
import { VERSION } from '../core/version.ts'
import { addAgent } from './agent.ts'
import { addAudit } from './audit.ts'
import { addAdminToken, addOwnerToken, addTokens, addVerifierToken } from './bearers.ts'
import { addClock } from './clock.ts'
import { type Cli, noun } from './command.ts'
import { addConnect } from './connect.ts'
import { addDev } from './dev.ts'
import { addCredentialShow, addHolding, addReceipt, addSessionToken } from './holdings.ts'
import { addCan, addKey, addStatus } from './house.ts'
import { addInit } from './init.ts'
import { addInspect } from './inspect.ts'
import { addLater } from './later.ts'
import { addLock } from './lock.ts'
import { addLogin } from './login.ts'
import { addMcp } from './mcp.ts'
import { addProxy } from './proxy.ts'
import { addDecisions, addRequest } from './request.ts'
import { addRevision } from './revision.ts'
import { addRun } from './run.ts'
import { addScopes } from './scopes.ts'
import { addServe } from './serve.ts'
import { addToken } from './token.ts'
import { addDrill, addTool } from './tool.ts'
import { addToolCheck } from './tool-check.ts'
import { addToolDefinitions } from './tool-definitions.ts'
import { addToolSnippet } from './tool-snippet.ts'

const ABOUT_ENVIRONMENT = `
Where it speaks to: HALLPASS_URL and HALLPASS_TOKEN; then what login kept; then, without a token, the local socket in
HALLPASS_DATA (./data), as the operator. An agent's commands (token, run, proxy, mcp, session token) use HALLPASS_URL,
HALLPASS_AGENT and HALLPASS_AGENT_KEY.
Exit codes: 0 ok, 1 usage or local fault, 2 refused, remote fault or something outstanding, 3 waiting for a person.`

export function createProgram(cli: Cli): Command {
  const program = new Command('hallpass')
    .description('A credential broker for AI agents: short-lived, owner-approved access to tools.')
    .version(VERSION)
    .addHelpText('after', ABOUT_ENVIRONMENT)
    .exitOverride()
    .showHelpAfterError('(--help says more)')
    .hook('preAction', (_, command) => {
      if (command.opts().json === true) cli.terminal.useJson()
    })

  addInit(program, cli)
  addServe(program, cli)
  addDev(program, cli)

  addScopes(noun(program, 'scopes', 'the manifests: check, plan, apply, schema'), cli)
  addAgent(noun(program, 'agent', 'agents: new, list, show, decommission'), cli)
  addRevision(noun(program, 'revision', 'what waits in the manifests: list, show, accept, decline'), cli)

  addRequest(noun(program, 'request', 'what agents ask: list, show, watch'), cli)
  addDecisions(program, cli)
  addToken(program, cli)
  addRun(program, cli)
  addProxy(program, cli)
  addMcp(program, cli)
  addConnect(program, cli)

  const session = noun(program, 'session', 'sessions of agents: list, revoke, token')
  addHolding(session, cli, 'session')
  addSessionToken(session, cli)
  addHolding(noun(program, 'grant', 'grants: list, revoke'), cli, 'grant')
  const credential = noun(program, 'credential', 'minted credentials: list, show, revoke')
  addHolding(credential, cli, 'credential')
  addCredentialShow(credential, cli)
  addReceipt(noun(program, 'receipt', 'proof of what was taken away: show'), cli)
  addLock(program, cli)
  const tool = noun(program, 'tool', 'tools and the accounts in them: list, reconcile, snippet, check')
  addTool(tool, cli)
  addToolDefinitions(tool, cli)
  addToolCheck(tool, cli)
  addToolSnippet(tool, cli)
  addDrill(program, cli)
  addInspect(program, cli)

  addStatus(program, cli)
  addCan(program, cli)
  addAudit(noun(program, 'audit', 'the trail: list, tail, key, export, verify'), cli)

  addOwnerToken(noun(program, 'owner', 'tokens for owners'), cli)
  addAdminToken(noun(program, 'admin', 'tokens for admins, auditors and publishers'), cli)
  addVerifierToken(noun(program, 'verifier', 'tokens for tools'), cli)
  addTokens(program, cli)
  addLogin(program, cli)
  addKey(noun(program, 'key', 'the broker’s own keys: list, rotate'), cli)
  addClock(noun(program, 'clock', 'the broker’s own clock: reset'), cli)

  program.commandsGroup('In later versions:')
  addLater(program)
  return program
}
