// HTML smuggling: a page that builds a file in the browser and has it saved, past every gateway.

rule HTML_Smuggling
{
    meta:
        name = "HTML.Smuggling"
        verdict = "banned"
        description = "script that decodes bytes into a Blob and offers them as a download"
    strings:
        $script = "<script" nocase
        $blob = /new\s{1,8}(window\.|self\.)?(Blob|File)\s{0,8}\(/
        $decode1 = /\batob\s{0,8}\(/
        $decode2 = "Uint8Array"
        $decode3 = "charCodeAt"
        $decode4 = "fromCharCode"
        $save1 = "msSaveOrOpenBlob"
        $save2 = "msSaveBlob"
        $url = "createObjectURL"
        $download1 = /\.download\s{0,8}=[^=]/
        $download2 = /["']download["']\s{0,8},/
        $download3 = /<a\b[^>]{0,400}\sdownload\b/ nocase
    condition:
        $script and $blob and any of ($decode*) and
        (any of ($save*) or ($url and any of ($download*)))
}
