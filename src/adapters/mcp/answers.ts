// What a model reads. Everything is said twice: as structuredContent, and as text for those that look at text alone.

import type { CallToolResult } from '@modelcontextprotocol/server'
import type { Problem } from '../../core/problem.ts'

type Answer = { readonly [key: string]: unknown }

export function answered(tool: string, structured: Answer): CallToolResult {
  const says = sentence(tool, structured)
  const json = JSON.stringify(structured)
  return {
    content: [{ type: 'text', text: says === null ? json : `${says}\n\n${json}` }],
    structuredContent: { ...structured },
  }
}

/** The precise reason (`detail`) stays on the trail. */
export function refused(problem: Problem): CallToolResult {
  const { code, message, nextTool, didYouMean, manifestPatch } = problem
  const hint = problem.hint ?? (nextTool === undefined ? 'Do without it, or tell your owner.' : `Call ${nextTool}.`)
  const error = {
    code,
    message,
    hint,
    retryable: problem.retryable ?? false,
    ...(nextTool === undefined ? {} : { nextTool }),
    ...(didYouMean === undefined ? {} : { didYouMean }),
    ...(manifestPatch === undefined ? {} : { manifestPatch }),
  }
  const lines = [
    `Refused (${code}): ${message}`,
    hint,
    ...(didYouMean === undefined ? [] : [`Did you mean: ${didYouMean}`]),
    ...(manifestPatch === undefined ? [] : [`For an owner to consider; not yours to apply:\n${manifestPatch}`]),
  ]
  return { content: [{ type: 'text', text: lines.join('\n') }], structuredContent: { error }, isError: true }
}

/** What to do now, where the fields alone do not say it. */
function sentence(tool: string, answer: Answer): string | null {
  switch (tool) {
    case 'list_access':
      return 'Ask only for what is under "access"; use a grant that you hold before you ask for another.'
    case 'request_access':
    case 'access_status':
      return answer.status === 'pending' ? pending(answer) : granted(answer)
    case 'issue_token':
      return 'Send this token to its resource and nowhere else. Do not repeat it to anybody.'
    case 'release_access':
      return answer.status === 'revoking'
        ? 'Taken back here and now; the tool has yet to confirm that it is dead. There is nothing left for you to do.'
        : null
    default:
      return null
  }
}

function pending(answer: Answer): string {
  const { request, approveUrl, retryAfterSeconds } = answer
  const { words, owners } = fieldsOf(request)
  const who = Array.isArray(owners) && owners.length > 0 ? owners.join(' or ') : 'an owner of this agent'
  return (
    `Pending: this waits for ${who} to decide. You cannot approve it, and asking again changes nothing. ` +
    `They are not notified yet: have this link sent to one of them, with the words "${words}" that its page shows too: ${approveUrl} ` +
    `Then go on with other work and call access_status in ${retryAfterSeconds} seconds or later.`
  )
}

function granted(answer: Answer): string {
  const { id, expiresAt, use } = fieldsOf(answer.grant)
  return `Granted until ${expiresAt} as ${id}. ${fieldsOf(use).how}`
}

const fieldsOf = (value: unknown): Answer => (typeof value === 'object' && value !== null ? { ...value } : {})
