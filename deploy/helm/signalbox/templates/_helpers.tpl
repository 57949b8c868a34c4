{{- define "signalbox.pool" -}}
{{- .Values.inferencePool.name | default .Release.Name -}}
{{- end -}}

{{- define "signalbox.epp" -}}
{{- printf "%s-epp" (include "signalbox.pool" .) | trunc 63 -}}
{{- end -}}

{{- define "signalbox.bbr" -}}
{{- printf "%s-bbr" .Release.Name | trunc 63 -}}
{{- end -}}

{{/* Cluster-wide names carry the namespace, so that two namespaces may hold a pool of the same name. */}}
{{- define "signalbox.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "signalbox.epp" .) -}}
{{- end -}}

{{- define "signalbox.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "signalbox.labels" -}}
{{ include "signalbox.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{/* Nothing of the chart's version: it would restart every picker with each new chart. */}}
{{- define "signalbox.podLabels" -}}
app.kubernetes.io/name: signalbox
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "signalbox.poolLabels" -}}
{{- if .Values.inferencePool.matchLabels -}}
{{- toYaml .Values.inferencePool.matchLabels -}}
{{- else -}}
app: {{ include "signalbox.pool" . }}
{{- end -}}
{{- end -}}

{{- define "signalbox.elects" -}}
{{- if and .Values.picker.leaderElection (gt (int .Values.picker.replicas) 1) -}}yes{{- end -}}
{{- end -}}

{{/* Where bbr asks who may read its metrics: it needs a token, which it has for base models. */}}
{{- define "signalbox.bbrGuards" -}}
{{- if and .Values.bodyBasedRouter.enabled .Values.bodyBasedRouter.baseModels .Values.metrics.auth -}}yes{{- end -}}
{{- end -}}

{{/* Whom a NetworkPolicy lets in as gateways. */}}
{{- define "signalbox.gatewayPeers" -}}
- namespaceSelector:
    {{- with .Values.networkPolicy.gatewayNamespaces }}
    matchLabels:
      {{- toYaml . | nindent 6 }}
    {{- else }} {}
    {{- end }}
{{- range .Values.networkPolicy.gatewayCIDRs }}
- ipBlock:
    cidr: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "signalbox.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "signalbox.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end -}}

{{- define "signalbox.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}
