// Caddy (2.6 and later): forward_auth puts every call to /forward-auth, with resource and scope from this text alone (S14).

import { comment, detailsNote, type Snippet, withHead } from './snippet-head.ts'
import { ODD_TARGET, questionPath, type Route, routePattern, type SnippetInput } from './snippet-input.ts'

const NOTES = [
  'The tool gets no Authorization, and X-Hallpass-Agent, -Session, -Grant, -Scope and -Details from here alone, never from the caller. It must be reachable through this proxy alone.',
  'Each path has one spelling, and one that is not listed is refused. Matchers look at the request line as it came, because Caddy’s path matcher ignores case and cleans what it compares, and the tool may not.',
]

export function caddySnippet(input: SnippetInput): Snippet {
  const { tool, resource, routes } = input
  const body = `
${comment([
  'The verifier token, in a file for the eyes of Caddy alone (0600), never in here:',
  `  (umask 077; echo "header_up X-Hallpass-Verifier $(hallpass verifier token ${tool})" > ${verifierFile(input)})`,
])}
${resource.secure ? '' : 'http://'}${new URL(resource.url).host} {
${isAddress(resource.host) ? `	bind ${resource.host.replace(/^\[(.*)\]$/, '$1')}\n` : ''}	route {
		# Who is calling is said by Hallpass, never by the caller.
		request_header -X-Hallpass-*

		@odd expression \`{http.request.orig_uri}.matches("${ODD_TARGET}")\`
		respond @odd "This path has more than one spelling." 403

${routes.map((route, index) => handle(input, route, index + 1)).join('\n')}
		respond "No scope allows this path and method." 403
	}
}
`
  return withHead(
    input,
    { name: 'Caddy', verifies: 'asks', limitedIs: 'refused', notes: [...NOTES, ...detailsNote(input)] },
    body,
  )
}

const isAddress = (host: string): boolean => host.startsWith('[') || /^\d+(\.\d+){3}$/.test(host)

const verifierFile = ({ tool }: SnippetInput): string => `/etc/hallpass/${tool}-verifier.caddy`

function handle(input: SnippetInput, route: Route, number: number): string {
  const { issuer, upstream } = input
  return `		@route${number} {
${route.methods.length === 0 ? '' : `			method ${route.methods.join(' ')}\n`}			expression \`{http.request.orig_uri}.matches("${routePattern(route, 'target')}")\`
		}
		handle @route${number} {
			forward_auth ${new URL(issuer.url).origin} {
				uri ${questionPath(input, route.scope)}
				import ${verifierFile(input)}
				header_up -Cookie
				header_up Host {upstream_hostport}
				copy_headers X-Hallpass-Agent X-Hallpass-Session X-Hallpass-Grant X-Hallpass-Scope X-Hallpass-Details
			}
			# Our token ends here.
			request_header -Authorization
			reverse_proxy ${new URL(upstream.url).origin}
		}
`
}
