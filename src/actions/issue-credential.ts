// A live grant becomes a credential: judged again at this instant, signed, recorded, and only then released (P1, P2).
// In a tool with accounts of its own it is an account's secret instead: issue-account.ts.

import { digest, type Json } from '../core/canonical.ts'
import { credentialClaims, proxyUrl } from '../core/claims.ts'
import type { Problem } from '../core/problem.ts'
import { ok, type Result } from '../core/result.ts'
import type { AgentCaller } from './authenticate-session.ts'
import { issueAccount } from './issue-account.ts'
import { credentialRow, type Issued, type IssueInput, issuedRecord, judgeMint, type Mintable } from './judge-mint.ts'
import type { Deps } from './ports.ts'
import { signToken } from './sign-token.ts'
import { transact } from './transact.ts'

export async function issueCredential(
  deps: Deps,
  caller: AgentCaller,
  input: IssueInput,
  requestId: string,
): Promise<Result<Issued, Problem>> {
  const context = { caller, requestId }
  const done = await transact<Issued | 'by account'>(deps, 'normal', async (look) => {
    const judged = await judgeMint(look, caller, input)
    if (!judged.ok) return judged
    if (isByAccount(judged.value)) return ok({ value: 'by account', records: [] })
    const { world, tool, session, grant, scopes, details, endsAt } = judged.value
    const audience = grant.delivery === 'proxy' ? proxyUrl(deps.settings.issuer, tool.name) : null
    const jti = deps.ids.next('crd')
    const claims = credentialClaims({
      issuer: deps.settings.issuer,
      jti,
      grant,
      session,
      audience: audience ?? tool.resource,
      scopes,
      details,
      manifest: world.installation!.revision ?? 'none',
      issuedAt: look.now,
      expiresAt: endsAt,
    })
    const signed = await signToken(deps, look, claims, tool.token.alg)
    if (!signed.ok) return signed
    const { token, kid } = signed.value
    const row = credentialRow(judged.value, {
      id: jti,
      ...(audience === null ? {} : { audience }),
      kid,
      claimsHash: digest(claims as Json),
      issuedAt: look.now,
      expiresAt: endsAt,
    })
    return ok({
      value: { credential: row, token, grant, use: null },
      put: [{ kind: 'credential' as const, row }],
      notAfter: endsAt,
      records: [issuedRecord(context, look.now, judged.value, row)],
    })
  })
  if (!done.ok) return done
  return done.value.value === 'by account' ? issueAccount(deps, caller, input, requestId) : ok(done.value.value)
}

/** Under proxy delivery the agent holds a token of ours, and the tool's own secret never reaches it. */
const isByAccount = ({ tool, grant }: Mintable) => tool.target.type !== 'none' && grant.delivery !== 'proxy'
