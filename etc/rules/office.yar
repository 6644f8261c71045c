// Macros and commands in Microsoft Office documents.
// Legacy formats (compound files) are judged by what the macro can do and whether it starts itself;
// in the zipped formats the macro is compressed, so that there is one is all that can be told here.

rule Office_Macro_Starts_Itself
{
    meta:
        name = "Macro.AutoRun"
        verdict = "banned"
        description = "VBA project with a procedure that starts itself and a call that leaves Office"
    strings:
        // names of the project's stream and of its module storage in the directory
        $project = "_VBA_PROJECT" wide nocase
        $module = "Attribut\x00e VB_Nam"
        $start = /\b(auto_?(open|close|exec|exit|new)|(document|workbook|presentation)_?(open|close|new|beforeclose|activate|deactivate)|slideshow_?begin)\b/ nocase
        $call1 = "Shell" fullword nocase
        $call2 = "CreateObject" fullword nocase
        $call3 = "ShellExecute" nocase
        $call4 = "URLDownloadToFile" nocase
        $call5 = "WScript" fullword nocase
        $call6 = "powershell" nocase
        $call7 = "VirtualAlloc" nocase
        $call8 = "RtlMoveMemory" nocase
        $call9 = "CallByName" fullword nocase
        $call10 = "ExecuteExcel4Macro" nocase
        $call11 = "Win32_Process" nocase
    condition:
        uint32be(0) == 0xD0CF11E0 and ($project or $module) and $start and any of ($call*)
}

rule Office_Macro_Source_Starts_Itself
{
    meta:
        name = "Macro.AutoRun"
        verdict = "banned"
        description = "the same in the clear: exported or decompressed VBA source"
    strings:
        $attribute = "Attribute VB_Name" nocase
        $start = /\bsub\s+(auto_?(open|close|exec|exit|new)|(document|workbook|presentation)_(open|close|new|beforeclose|activate|deactivate))\b/ nocase
        $call = /\b(Shell|CreateObject|ShellExecute[AW]?|URLDownloadToFile[AW]?|WScript|powershell|VirtualAlloc|RtlMoveMemory|CallByName|ExecuteExcel4Macro)\b/ nocase
    condition:
        $attribute in (0..1024) and $start and $call
}

rule Office_Macro_Project_In_Zip
{
    meta:
        name = "Macro.Project"
        verdict = "banned"
        description = "OOXML document that carries a VBA project (.docm, .xlsm, .pptm, or disguised)"
    strings:
        // the name in the archive's central directory: signature, 42 bytes of fields, name
        $entry = /PK\x01\x02[\x00-\xff]{42}(word|xl|ppt)\/vbaProject\.bin/ nocase
    condition:
        uint16be(0) == 0x504B and $entry
}

rule Office_Macro_Disguised
{
    meta:
        name = "Macro.Disguised"
        verdict = "banned"
        description = "list of content types with a VBA project, but no type that admits to macros"
    strings:
        $types = "schemas.openxmlformats.org/package/2006/content-types"
        $project = "application/vnd.ms-office.vbaProject" nocase
        $admitted = "macroEnabled" nocase
    condition:
        $types in (0..1024) and $project and not $admitted
}

rule Office_XLM_Macro_Legacy
{
    meta:
        name = "Macro.XLM"
        verdict = "banned"
        description = "Excel 4 macro sheet that is hidden, or that starts itself (.xls)"
    strings:
        // [MS-XLS] 2.4.28 BoundSheet8: position, hidden or very hidden, macro sheet
        $hidden = { 85 00 ?? 00 ?? ?? ?? ?? (01 | 02) 01 ?? (00 | 01) }
        $shown = { 85 00 ?? 00 ?? ?? ?? ?? 00 01 ?? (00 | 01) }
        // [MS-XLS] 2.4.150 Lbl: built-in name 1, Auto_Open
        $auto_open = { 18 00 ?? 00 (20 | 21) 00 00 01 ?? ?? 00 00 ?? ?? 00 00 00 00 00 01 }
        $workbook = "Workbook" wide
    condition:
        uint32be(0) == 0xD0CF11E0 and $workbook and ($hidden or ($shown and $auto_open))
}

rule Office_XLM_Macro_In_Zip
{
    meta:
        name = "Macro.XLM"
        verdict = "banned"
        description = "Excel 4 macro sheet in .xlsx, .xlsm or .xlsb"
    strings:
        $entry = /PK\x01\x02[\x00-\xff]{42}xl\/macrosheets\// nocase
        $sheet = /<(xm:)?macrosheet[ >]/
    condition:
        (uint16be(0) == 0x504B and $entry) or $sheet in (0..1024)
}

rule Office_DDE_Command
{
    meta:
        name = "Office.DDE"
        verdict = "banned"
        description = "Word field or Excel link that starts a command interpreter by DDE"
    strings:
        $field = /\bDDE(AUTO)?\b.{0,200}(cmd(\.exe)?\b|powershell|mshta|wscript|cscript|rundll32|regsvr32|certutil)/ nocase
        $link = /<(\w+:)?ddeLink[^>]{0,200}ddeService="(cmd|powershell|mshta|wscript|cscript|rundll32|regsvr32|certutil)/ nocase
        $spreadsheet = /Formula="=(cmd|powershell|mshta|wscript|cscript|rundll32|regsvr32|certutil)\|/ nocase
        $word = "w:instr"
        $word_element = "w:fldSimple"
    condition:
        ($field and ($word or $word_element or uint32be(0) == 0xD0CF11E0)) or $link or $spreadsheet
}
