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
app.kubernetes.io/name: signalbox
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
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
