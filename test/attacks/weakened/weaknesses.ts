// One small hole each, and the attack that must get through it: proof that the attack can succeed at all.

import type { Weakness } from './weaken.ts'

export const WEAKNESSES: readonly Weakness[] = [
  {
    without: 'looking at the type of a token',
    file: 'src/adapters/keys/signer.ts',
    find: "        typ: 'at+jwt',\n        issuer,\n",
    replace: '        issuer,\n',
    attack: ['tokens.test.ts', 'typ JWT, well signed > is no session, at any edge (S13, S14)'],
  },
  {
    without: 'the row that makes an assertion single-use',
    file: 'src/actions/open-session.ts',
    find: 'once: [onceOf(proof)],',
    replace: 'once: [],',
    attack: [
      'tokens.test.ts',
      'an assertion that was used is used up: in 40 at once one works, and none at another purpose (S18)',
    ],
  },
  {
    without: 'the row that makes what comes back from a link single-use',
    file: 'src/actions/show-link.ts',
    find: "once: [{ space: 'request-state', ",
    replace: 'once: [{ space: look.now + Math.random().toString(), ',
    attack: ['waiting.test.ts', 'states > used again it is refused, and of twenty at once one is taken (S18)'],
  },
  {
    without: 'looking whose task it is',
    file: 'src/actions/own-request.ts',
    find: 'request?.agent === caller.agent &&',
    replace: 'request?.agent !== undefined &&',
    attack: [
      'waiting.test.ts',
      "tasks > another agent's, a forged and an unknown one are one and the same answer, and change nothing (S7)",
    ],
  },
  {
    without: 'binding an approval to what was shown',
    file: 'src/actions/settle-request.ts',
    find: 'if (shownNow !== (input.hash ?? request.hash))',
    replace: "if (shownNow === '')",
    attack: [
      'approval.test.ts',
      'a yes > of what was shown before its entitlement moved is no yes to what it is now (S8)',
    ],
  },
  {
    without: 'keeping approvals from the owner of the tool',
    file: 'src/actions/settle-request.ts',
    find: "'request.approve', { agent: seen?.agent ?? null })",
    replace: "'request.deny', { agent: seen?.agent ?? null, tool: seen?.tool ?? null })",
    attack: [
      'approval.test.ts',
      'nobody approves but an owner of the agent > not the owner of the tool, over the API or the page (S7)',
    ],
  },
  {
    without: 'the port in the origin of a decision',
    file: 'src/adapters/console/console-app.ts',
    find: "if (c.req.header('origin') !== origin)",
    replace: "if (new URL(c.req.header('origin') ?? 'x:y').hostname !== new URL(origin).hostname)",
    attack: [
      'approval.test.ts',
      'a page that the owner did not open > decides nothing: another port of the same host (S20)',
    ],
  },
  {
    without: 'stripping what cannot be seen from what agents write',
    file: 'src/core/safe-text.ts',
    find: "    .replace(UNSEEN, '')\n",
    replace: '',
    attack: [
      'approval.test.ts',
      'what an agent writes > moves nothing in a terminal without a terminal, in any command that shows it (S20)',
    ],
  },
  {
    without: 'following what was asked for while a session was being revoked',
    file: 'src/actions/dead-rows.ts',
    find: '  if (session !== undefined) yield* askedForIn(deps, now, session)\n',
    replace: '  if (session !== undefined && session === grant) yield* askedForIn(deps, now, session)\n',
    attack: [
      'races.test.ts',
      'no grant, request or credential outlives the revoked session that it raced, 1,000 rounds (S11, S16)',
    ],
  },
  {
    without: 'asserting in the commit what was judged before it',
    file: 'src/actions/transact.ts',
    find: '      expect: versions,\n',
    replace: '      expect: new Map(),\n',
    attack: ['races.test.ts', 'nothing outlives a lock on everything that it raced, 1,000 rounds (S12, S16)'],
  },
  {
    without: 'asking anybody before a team grows',
    file: 'src/core/authority.ts',
    find: "wanted?.of === 'team' && !isNamed(edit, wanted.name)",
    replace: "wanted?.of === 'team' && edit !== undefined && isNamed !== undefined",
    attack: [
      'authority.test.ts',
      'a git writer who approves nothing gains nothing by > herself into the team that owns the agent (S1, S2)',
    ],
  },
  {
    without: 'forgetting the yes of who was removed',
    file: 'src/actions/may-settle.ts',
    find: '    if (counts) given.push(one)\n',
    replace: '    if (counts || !counts) given.push(one)\n',
    attack: ['authority.test.ts', 'half of two yeses does not count once its giver is no owner any more (S2)'],
  },
  {
    without: 'taking an approver’s grants when that was asked for',
    file: 'src/core/judge.ts',
    find: '(born.approvers[i] ?? 0) < (approvers.get(email)?.grantEpoch ?? 1)',
    replace: 'i > 0 && (born.approvers[i] ?? 0) < (approvers.get(email)?.grantEpoch ?? 1)',
    attack: [
      'taking-away.test.ts',
      'a lock on an owner with --revoke-grants takes all that rests on them for good, and nothing else (S12)',
    ],
  },
  {
    without: 'waiting for guards that hold a lease',
    file: 'src/adapters/verifiers/guard-leases.ts',
    find: 'now - startedAt >= LEASE_MS && guards.every(isSure)',
    replace: 'now - startedAt >= LEASE_MS && guards.some(isSure)',
    attack: [
      'guard.test.ts',
      'with guards cut off, delayed and frozen, "revoked" is said when none accepts any more, and not before (P5, S15)',
    ],
  },
  {
    without: 'asking whose a session of 2025 is',
    file: 'src/adapters/mcp/legacy-sessions.ts',
    find: 'named?.agent === call.caller.agent ? named : undefined',
    replace: 'named',
    attack: ['streams.test.ts', "a session > of another agent's is answered as one that never was, and goes on (S7)"],
  },
  {
    without: 'ending the sessions of an agent that is cut off',
    file: 'src/adapters/mcp/agent-handlers.ts',
    find: '    sessions.end(agent)\n',
    replace: '',
    attack: [
      'streams.test.ts',
      'what was opened before an agent is cut off > ends when its session is revoked, and its token opens nothing more (P5, P6, S12)',
    ],
  },
  {
    without: 'a limit to the streams of one agent',
    file: 'src/adapters/mcp/agent-handlers.ts',
    find: '      maxSubscriptions: MCP_STREAMS_PER_AGENT,\n',
    replace: '',
    attack: ['streams.test.ts', '1000 streams of one agent leave four open, and take nothing from others (S17)'],
  },
  {
    without: 'asking whose a request is before it is read',
    file: 'src/actions/access-status.ts',
    find: 'if (request === undefined || request.agent !== caller.agent)',
    replace: 'if (request === undefined)',
    attack: [
      'streams.test.ts',
      "a resource of another agent's is answered as one that never was, read or subscribed to (S7)",
    ],
  },
  {
    without: 'suspending a tool whose server describes it otherwise',
    file: 'src/actions/admit-mcp-call.ts',
    find: 'row?.pinned != null && row.offered === null && ',
    replace: 'row?.pinned != null && ',
    attack: [
      'upstream-definitions.test.ts',
      'a server of the legacy era > that changes its description suspends its tool before any model sees it',
    ],
  },
  {
    without: 'a look for the credential in what an upstream server answers',
    file: 'src/adapters/upstream-mcp/without-secrets.ts',
    find: 'left.replaceAll(form, MASK)',
    replace: 'left',
    attack: [
      'upstream-mcp.test.ts',
      'a server of the modern era > that says the credential back, itself, is not heard (P7)',
    ],
  },
  {
    without: 'holding a limited grant to the arguments that a definition declares',
    file: 'src/core/judge-mcp-call.ts',
    find: 'const stray = Object.keys(given).find((name) => !declared.includes(name))',
    replace: 'const stray = undefined as string | undefined',
    attack: [
      'upstream-cut.test.ts',
      'what a grant does not reach > with what is not declared: {"queue":"ops","queue_id":4}',
    ],
  },
]
